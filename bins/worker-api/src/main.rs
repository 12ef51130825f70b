//! The worker node's program: reads its configuration, serves until it is told to stop, drains.

use clap::Parser;
use std::process::ExitCode;
use worker_api::{Config, logs, run, shutdown::Shutdown};

/// The conventional code for a wrong command line or configuration.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = Config::parse();
    let log = logs::Log::default();
    logs::init(&config.log, &log);
    let config = match config.checked() {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults.iter() {
                tracing::error!("{}: {}", fault.field, fault.message);
            }
            return ExitCode::from(EX_USAGE);
        }
    };
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(config, log, Shutdown::default())));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
