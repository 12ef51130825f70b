//! The agent's program: all of it is in the library, whose parsers are fuzzed.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox_agent::run(std::env::args().skip(1))
}
