//! What the agent makes of its own process before it listens to anybody.

use rustix::process::{DumpableBehavior, Resource, Rlimit, setrlimit};
use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Gives up what it could give up, and hands out the descriptor on which signals arrive.
pub(crate) fn harden() -> io::Result<OwnedFd> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Code in the sandbox has our user: it must not read or trace us.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // The container sets it already; outside of one, this is the only place that does.
    rustix::thread::set_no_new_privs(true)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if !is_init() {
        // Orphans of what we start shall come to us, as they come to a first process by itself.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))?;
    }
    ignore_broken_pipes();
    signal_descriptor()
}

/// Whether this is the first process of its pid namespace.
pub(crate) fn is_init() -> bool {
    rustix::process::getpid().is_init()
}

fn ignore_broken_pipes() {
    // SAFETY: sets a disposition to a constant; no handler of ours will ever run.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        // A file at its size limit shall be an error of the write, not our end.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

fn signal_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised before it is used, and the descriptor is new and ours.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}
