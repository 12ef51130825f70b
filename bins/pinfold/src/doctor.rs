//! Checks a host from outside and from inside a real sandbox, and says what holds.

use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorOptions {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(_options: DoctorOptions) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet")
}
