//! The other side: plain Podman, run as a person would on this host.

use anyhow::ensure;
use std::process::{Command, Stdio};

/// `podman run --rm --network=none IMAGE COMMAND`, without any service in between: the fastest way
/// that Podman offers.
pub(crate) fn run(image: &str, command: &[&str]) -> anyhow::Result<()> {
    let status = local()
        .args(["run", "--rm", "--network=none", image])
        .args(command)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "podman run ended with {status}");
    Ok(())
}

/// Containers that are there now, running or not.
pub(crate) fn containers() -> anyhow::Result<usize> {
    let listed = local().args(["ps", "--all", "--quiet"]).output()?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().count())
}

pub(crate) fn version() -> anyhow::Result<String> {
    let said = local().args(["version", "--format", "{{.Client.Version}}"]).output()?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}

fn local() -> Command {
    let mut podman = Command::new("podman");
    podman.env_remove("CONTAINER_HOST");
    podman
}
