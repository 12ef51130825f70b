//! The first process of a sandbox: starts what the host asks for, and tells how it went.
//!
//! It is one thread around one `poll`, because it is resident in every sandbox and shares its fate
//! with hostile code: small, without a runtime, and with nothing in its memory that is worth a look.

mod agent;
mod await_proxy;
mod capture;
mod connection;
mod exec;
mod fence;
mod files;
mod glob;
mod kernels;
mod options;
mod probe;
mod process_setup;
mod processes;
mod spawn;
mod terminals;

pub use files::Unpack;
/// Public for who fuzzes it.
pub use glob::matches as glob_matches;
pub use kernels::{Event, Events};

use options::{Mode, Options};
use std::process::ExitCode;

/// The life of the process, by the arguments that it was started with.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Ok(Mode::Agent(options)) => options,
        Ok(Mode::Probe) => {
            println!("{}", probe::report());
            return ExitCode::SUCCESS;
        }
        Ok(Mode::AwaitProxy) => {
            return match await_proxy::run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => {
                    eprintln!("{message}");
                    ExitCode::FAILURE
                }
            };
        }
        Ok(Mode::Landlock) => {
            let landlock = serde_json::to_string(&fence::of_kernel());
            println!("{}", landlock.unwrap_or_default());
            return ExitCode::SUCCESS;
        }
        Ok(Mode::Version) => {
            println!("sandbox-agent {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("sandbox-agent: {message}");
            return ExitCode::from(64);
        }
    };
    let signals = match process_setup::harden() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("sandbox-agent: can't set up the process: {error}");
            return ExitCode::FAILURE;
        }
    };
    let fence = match fence::Fence::build(&options) {
        Ok(fence) => fence,
        Err(error) => {
            eprintln!("sandbox-agent: can't build the fence: {error}");
            return ExitCode::FAILURE;
        }
    };
    match agent::Agent::new(options, signals, fence).run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox-agent: {error}");
            ExitCode::FAILURE
        }
    }
}
