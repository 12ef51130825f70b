//! What the machine's processors did, and for whom, between two moments.

use anyhow::Context;
use std::{fs, os::unix::net::UnixStream};

/// The kernel's unit in `/proc`: a hundredth of a second wherever Linux runs today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time since the start of the machine, or of the process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Of all processes and of the kernel.
    pub(crate) machine: f64,
    pub(crate) node: f64,
    /// The Podman service itself.
    pub(crate) service: f64,
    /// What it started and waited for: the monitors' first halves and the OCI runtime.
    pub(crate) children: f64,
}

impl Usage {
    pub(crate) fn now(node: u32, service: u32) -> anyhow::Result<Self> {
        let (node, _) = of(node)?;
        let (service, children) = of(service)?;
        Ok(Self { machine: machine()?, node, service, children })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            machine: self.machine - before.machine,
            node: self.node - before.node,
            service: self.service - before.service,
            children: self.children - before.children,
        }
    }

    /// Sandboxes, their monitors, the bench and the kernel's own work.
    pub(crate) fn rest(self) -> f64 {
        self.machine - self.node - self.service - self.children
    }
}

pub(crate) fn machine() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("a first line")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    // The last two are guests' time, which the first two contain.
    Ok((ticks.iter().take(8).sum::<f64>() - idle) / TICKS_PER_SECOND)
}

/// A process's own time, and that of the children that it waited for.
pub(crate) fn of(pid: u32) -> anyhow::Result<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(") ").context("a name in parentheses")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let sum = |a: usize, b: usize| -> anyhow::Result<f64> {
        Ok((fields[a].parse::<f64>()? + fields[b].parse::<f64>()?) / TICKS_PER_SECOND)
    };
    Ok((sum(11, 12)?, sum(13, 14)?))
}

/// Who listens on the Podman socket that the node uses.
pub(crate) fn service(container_host: &str) -> anyhow::Result<u32> {
    let path = container_host.strip_prefix("unix://").context("a unix:// address")?;
    let peer = rustix::net::sockopt::socket_peercred(UnixStream::connect(path)?)?;
    Ok(peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Resident bytes of a process.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// Resident bytes of the agents of all sandboxes, each: pages that they share are counted in each.
pub(crate) fn agents() -> anyhow::Result<Vec<u64>> {
    let mut agents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command == b"/run/pinfold/agent\0" {
            agents.extend(resident(pid));
        }
    }
    Ok(agents)
}
