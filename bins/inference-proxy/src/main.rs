//! The sidecar's program: reads its configuration, relays until it is told to stop, drains.

use clap::Parser;
use inference_proxy::{Command, Config, healthcheck, logs, run};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::process::ExitCode;

/// The conventional code for a wrong command line or configuration.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = Config::parse();
    logs::init(&config.log);
    let command = config.command;
    if config.inference_proxy_no_files
        && let Err(error) = give_up_files()
    {
        tracing::error!("INFERENCE_PROXY_NO_FILES: {error}");
        return ExitCode::FAILURE;
    }
    let config = match config.checked() {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
            return ExitCode::from(EX_USAGE);
        }
    };
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| match command {
            None => runtime.block_on(run(config)),
            Some(Command::Healthcheck) => runtime.block_on(healthcheck::probe(&config.places)),
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sockets are no files: these it still makes.
fn give_up_files() -> rustix::io::Result<()> {
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) })
}
