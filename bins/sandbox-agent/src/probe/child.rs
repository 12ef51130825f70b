//! One attempt in a child of its own: what it changes dies with it, and a filter that kills
//! instead of refusing is an answer too.

use super::errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

/// Bounds a call that would block: the child is ended by SIGALRM, which the report then shows.
const ATTEMPT_SECONDS: u32 = 5;

/// Runs `attempt` in a child and says "ok", the error's name, or the signal that ended the child.
///
/// `attempt` returns 0 or an errno. Between fork and exit it must not allocate or lock: another
/// thread of the parent may have held that lock.
pub(super) fn outcome(attempt: impl FnOnce() -> i32) -> String {
    // SAFETY: the child makes system calls on memory that the parent prepared, and exits.
    match unsafe { libc::fork() } {
        -1 => format!("fork: {}", errno::name(last_errno())),
        0 => {
            // SAFETY: both are async-signal-safe; exiting this way runs nothing of the parent's.
            unsafe {
                libc::alarm(ATTEMPT_SECONDS);
                libc::_exit(attempt())
            }
        }
        child => Pid::from_raw(child).map_or_else(|| "no child".to_owned(), ending),
    }
}

/// The calling thread's errno, as the C library keeps it.
pub(super) fn last_errno() -> i32 {
    // SAFETY: the C library's pointer to this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

fn ending(child: Pid) -> String {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return told(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return format!("wait: {}", errno::name(error.raw_os_error())),
        }
    }
}

fn told(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => "ok".to_owned(),
        (Some(number), _) => errno::name(number),
        (None, Some(libc::SIGSYS)) => "SIGSYS".to_owned(),
        (None, Some(libc::SIGSEGV)) => "SIGSEGV".to_owned(),
        (None, Some(libc::SIGALRM)) => "SIGALRM".to_owned(),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_tells_success_errors_and_signals() {
        assert_eq!(outcome(|| 0), "ok");
        assert_eq!(outcome(|| libc::EPERM), "EPERM");
        // SAFETY: it ends the child, which holds nothing.
        let killed = outcome(|| unsafe { libc::kill(libc::getpid(), libc::SIGSYS) });
        assert_eq!(killed, "SIGSYS");
    }
}
