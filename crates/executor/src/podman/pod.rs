//! The second container of a sandbox with inference: the sidecar, and the folders that the two have.
//!
//! ```text
//!   folders + gate's socket ─► pod ─► sandbox ─► sidecar in its network namespace ─► it answers
//! ```
//!
//! The sidecar joins the sandbox's namespace, not the other way round: so the sandbox is made as
//! every other one is. It has users, processes and files of its own; what the two share is loopback.

use super::{api::Api, folder::Folder};
use crate::{EngineError, Sandbox, sandbox::ReadOut};
use contracts::{
    link::{Command, End},
    sandbox::path,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};

/// The phases in which a sandbox with inference can fail beyond those of every sandbox.
pub(super) mod phase {
    pub(crate) const POD: &str = "pod_create";
    pub(crate) const START: &str = "proxy_start";
    pub(crate) const READY: &str = "proxy_ready";
    pub(crate) const GATE: &str = "gate";
}

/// The proxy listens within milliseconds of its start.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// A pod and the folders that belong to it.
pub(super) struct Pod {
    pub(super) name: String,
    /// With the gate's socket; the sidecar sees it and nobody else.
    pub(super) gate: Folder,
    /// Where the proxy listens beside loopback; the sandbox sees it, and can't write.
    pub(super) proxy: Folder,
    /// With the certificates that the sandbox believes, and can't change.
    pub(super) trust: Folder,
}

/// The sidecar's process, as the host knows it.
pub(super) struct Sidecar {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
}

impl Pod {
    pub(super) async fn remove(&self, api: &Api) -> Result<(), EngineError> {
        api.remove_pod(&self.name).await?;
        self.remove_folders()
    }

    pub(super) fn remove_folders(&self) -> Result<(), EngineError> {
        let folders = [&self.gate, &self.proxy, &self.trust];
        let removed = folders.into_iter().try_for_each(Folder::remove);
        removed.map_err(|e| EngineError::step("folder", e))
    }
}

impl Sidecar {
    /// Finds the process of a container that runs.
    pub(super) async fn find(api: &Api, container: &str) -> Result<Self, EngineError> {
        let failed = |e: io::Error| EngineError::step(phase::START, e);
        let process = api.process(container).await;
        let process = process.map_err(|e| EngineError::step(phase::START, e))?;
        let pid = process
            .pid
            .and_then(|pid| Pid::from_raw(pid as i32))
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
        // SAFETY: an owned descriptor is open, and the same, until the `AsyncFd` that has it is gone.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
            .map_err(|e| EngineError::step(phase::START, e))?;
        Ok(Self { pid, pidfd })
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) {
        let _either_way_it_is_not_there = self.pidfd.readable().await;
    }

    /// Whether it has ended, or is about to: its connections break a moment before the descriptor tells.
    pub(super) fn is_ending(&self) -> bool {
        // First, and of this process for certain if the descriptor still tells of a living one.
        let exits = exits(self.pid);
        let mut asked = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
        exits || !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
    }

    pub(super) fn kill(&self) -> Result<(), Errno> {
        match pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL) {
            Err(Errno::SRCH) => Ok(()),
            other => other,
        }
    }
}

/// The kernel's mark of a process that has begun to go, `PF_EXITING`.
const EXITING: u32 = 0x4;

fn exits(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // After the name, which may hold anything: state, four ids, terminal's group, flags.
    let flags = stat.ok().and_then(|stat| {
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(6)?.parse::<u32>().ok()
    });
    flags.is_none_or(|flags| flags & EXITING != 0)
}

/// Asks the proxy how it is, from inside the sandbox, by the way that its code will take.
pub(super) async fn await_proxy(sandbox: &Sandbox) -> Result<(), EngineError> {
    let command = Command {
        argv: vec![path::AGENT.to_owned(), "await-proxy".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        stdin: false,
        output_bytes: 1024,
        flood_bytes: 1 << 20,
        sole: true,
        backstop_ms: READY_LIMIT.as_millis() as u64,
    };
    let asked = async {
        let exec = sandbox.start(command).await?;
        let ReadOut { end, output } = sandbox.read_out(exec).await?;
        match end {
            Some(End::Code(0)) => Ok(()),
            _ => {
                let said = String::from_utf8_lossy(&output).trim().to_owned();
                Err(EngineError::step(phase::READY, said))
            }
        }
    };
    let slow = EngineError::Slow { step: phase::READY, limit: READY_LIMIT };
    timeout(READY_LIMIT, asked).await.map_err(|_| slow)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_goes_is_known_before_it_is_waited_for() {
        assert!(!exits(rustix::process::getpid()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut looks = 0..1_000;
        while !exits(pid) && looks.next().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!looks.is_empty(), "a zombie has the mark");
        child.wait().unwrap();
        assert!(exits(pid), "one that is gone does, too");
    }
}
