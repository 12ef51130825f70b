//! Who is at the other end of a link: PID 1 of the very container that it was made for, or nobody.
//!
//! The kernel names the peer's process; `/proc` says which pid it has inside its namespace and which
//! cgroup it is in. Nothing here is the peer's word. A pidfd is taken first and the facts are read
//! after, so the process that was looked at is the one that will be killed.

use super::{cgroup::Cgroup, folder::Listening};
use crate::EngineError;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::{fs, os::fd::OwnedFd};
use tokio::net::UnixStream;

/// PID 1 of a container, as the host knows it.
pub(super) struct Init {
    pub(super) pidfd: OwnedFd,
    pub(super) cgroup: Cgroup,
}

/// Accepts until the container's PID 1 comes. Anybody else is hung up on.
pub(super) async fn accept_init(
    listening: &Listening,
    container: &str,
) -> Result<(UnixStream, Init), EngineError> {
    let mut knocked = false;
    loop {
        let (stream, _) =
            listening.listener().accept().await.map_err(|e| EngineError::step("link", e))?;
        match identify(&stream, container) {
            Ok(init) => return Ok((stream, init)),
            Err(reason) => {
                // While a node takes up a sandbox, code in it can knock as often as it likes: one line.
                if !std::mem::replace(&mut knocked, true) {
                    tracing::warn!(container, reason, "a stranger knocked at a link");
                }
            }
        }
    }
}

fn identify(stream: &UnixStream, container: &str) -> Result<Init, &'static str> {
    let peer = stream.peer_cred().map_err(|_| "its credentials can't be read")?;
    // A pid of 0 means that the peer is outside of our own pid namespace.
    let pid = peer.pid().filter(|pid| *pid > 0).ok_or("its process is not visible from here")?;
    let known = Pid::from_raw(pid).ok_or("its process is not visible from here")?;
    let pidfd = pidfd_open(known, PidfdFlags::empty()).map_err(|_| "it is gone")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| "it is gone")?;
    if !is_init(&status) {
        return Err("it is not the first process of its namespace");
    }
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| "it is gone")?;
    if !groups.contains(container) {
        return Err("it is in another cgroup");
    }
    Ok(Init { pidfd, cgroup: Cgroup::of(&groups) })
}

/// `NSpid` lists the pid in each namespace from ours inwards: the innermost must be 1.
fn is_init(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.is_some_and(|pids| {
        let pids: Vec<&str> = pids.split_whitespace().collect();
        pids.len() > 1 && pids.last() == Some(&"1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_process_of_an_inner_namespace_is_init() {
        assert!(is_init("Name:\tagent\nNSpid:\t4711\t1\n"));
        assert!(!is_init("NSpid:\t4711\t2\n"));
        assert!(!is_init("NSpid:\t1\n"), "the host's own init is not a sandbox");
        assert!(!is_init("Name:\tagent\n"));
    }
}
