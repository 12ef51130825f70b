//! The command that a person types.

// They panic where nobody reads; `out` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod client;
mod commands;
mod dev_model;
mod doctor;
mod out;
mod patience;
mod sse;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// What we exit with when we, and not a job, are at fault: as other runners of containers do.
const OUR_FAULT: u8 = 125;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no faults; a wrong command line must not look like a job's own code.
        Err(error) => {
            let _unprinted = error.print();
            return if error.use_stderr() { ExitCode::from(OUR_FAULT) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let code = runtime.block_on(dispatch(cli))?;
        // A read of standard input may still be waiting on its thread; nobody wants it any more.
        runtime.shutdown_background();
        Ok(code)
    });
    done.unwrap_or_else(|error| {
        if error.is::<out::Unread>() {
            return ExitCode::from(out::UNREAD);
        }
        out::note(format_args!("error: {error:#}"));
        ExitCode::from(OUR_FAULT)
    })
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let node = cli.node;
    match cli.command {
        Command::Run(run) => commands::run::run(&node.client()?, *run).await,
        Command::Jobs(query) => commands::jobs::list(&node.client()?, query).await,
        Command::Job { job_id } => commands::jobs::show(&node.client()?, &job_id).await,
        Command::Cancel { job_id } => commands::jobs::cancel(&node.client()?, &job_id).await,
        Command::Logs { job_id } => commands::run::follow(&node.client()?, &job_id).await,
        Command::Session(options) => commands::session::run(&node.client()?, *options).await,
        Command::Cp(copy) => commands::copy::run(&node.client()?, copy).await,
        Command::Pool(options) => commands::pool::show(&node.client()?, options).await,
        Command::Provider { command, json } => {
            commands::provider::run(&node.admin()?, command, json).await
        }
        Command::Inference { command, json } => {
            commands::inference::run(&node.admin()?, command, json).await
        }
        Command::Template { command, json } => {
            commands::template::run(&node.admin()?, command, json).await
        }
        Command::Egress { command, json } => commands::egress::run(&node, command, json).await,
        Command::Doctor(options) => doctor::run(options).await,
        Command::DevModel(options) => dev_model::run(options).await,
    }
}
