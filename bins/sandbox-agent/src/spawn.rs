//! From a command to a running process: everything is prepared before the fork, because the child
//! may only make system calls until it becomes the program.

use contracts::link::Command;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use std::{
    ffi::CString,
    io::Read,
    os::fd::{AsRawFd, OwnedFd},
};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the kernel shall think of the program when memory is short: rather it than the agent.
const OOM_SCORE: &[u8] = b"500";

pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The step that kept a command from running, and why.
#[derive(Debug)]
pub(crate) struct NotExecuted {
    pub(crate) errno: i32,
    pub(crate) step: &'static str,
}

impl NotExecuted {
    fn at(step: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self { errno: errno.raw_os_error(), step }
    }
}

/// Steps that the child can fail at, as it tells them through a pipe.
const STEPS: [&str; 4] = ["session", "descriptors", "cwd", "exec"];

pub(crate) fn spawn(command: &Command) -> Result<Spawned, NotExecuted> {
    let program = Program::prepare(command)?;
    let pipe = |step| pipe_with(PipeFlags::CLOEXEC).map_err(NotExecuted::at(step));
    let (stdout, child_stdout) = pipe("pipe")?;
    let (stderr, child_stderr) = pipe("pipe")?;
    let (failure, child_failure) = pipe("pipe")?;
    let (child_stdin, stdin) = match command.stdin {
        true => pipe("pipe").map(|(read, write)| (read, Some(write)))?,
        false => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty());
            (null.map_err(NotExecuted::at("stdin"))?, None)
        }
    };
    let ends = [child_stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()];
    // SAFETY: this process has one thread, and the child only makes system calls on memory that was
    // prepared before, until it is replaced or exits.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => {
            return Err(NotExecuted { errno: last_errno(), step: "fork" });
        }
        // SAFETY: as above; `become_program` never returns.
        0 => unsafe { program.become_program(ends, child_failure.as_raw_fd()) },
        _ => {}
    }
    drop((child_stdin, child_stdout, child_stderr, child_failure));
    match told_failure(failure) {
        Some(failure) => {
            // SAFETY: waits for our own child, which has exited or is about to.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            Err(failure)
        }
        None => {
            for fd in [&stdout, &stderr].into_iter().chain(&stdin) {
                // A descriptor that is ours and open can be made non-blocking.
                let _set = rustix::io::ioctl_fionbio(fd, true);
            }
            Ok(Spawned { pid, stdin, stdout, stderr })
        }
    }
}

/// Waits until the child is the program, which closes the pipe, or has failed.
fn told_failure(pipe: OwnedFd) -> Option<NotExecuted> {
    let mut told = [0; 5];
    std::fs::File::from(pipe).read_exact(&mut told).ok()?;
    let errno = i32::from_le_bytes([told[0], told[1], told[2], told[3]]);
    Some(NotExecuted { errno, step: STEPS.get(told[4] as usize).copied().unwrap_or("exec") })
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// A command as the kernel takes it.
struct Program {
    candidates: Vec<CString>,
    cwd: CString,
    /// Kept alive for the pointers behind it.
    _strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
}

impl Program {
    fn prepare(command: &Command) -> Result<Self, NotExecuted> {
        let string = |text: &str| {
            CString::new(text).map_err(|_| NotExecuted { errno: libc::EINVAL, step: "arguments" })
        };
        let name = command.argv.first().map(String::as_str).unwrap_or_default();
        let args: Vec<CString> =
            command.argv.iter().map(|arg| string(arg)).collect::<Result<_, _>>()?;
        let vars: Vec<CString> = command
            .env
            .iter()
            .map(|(name, value)| string(&format!("{name}={value}")))
            .collect::<Result<_, _>>()?;
        let path = command.env.iter().rev().find(|(name, _)| name == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
        let candidates =
            candidates(name, path).iter().map(|at| string(at)).collect::<Result<_, _>>()?;
        let pointers = |strings: &[CString]| {
            let ends = std::iter::once(std::ptr::null());
            strings.iter().map(|text| text.as_ptr()).chain(ends).collect()
        };
        let (argv, envp) = (pointers(&args), pointers(&vars));
        let strings = args.into_iter().chain(vars).collect();
        Ok(Self { candidates, cwd: string(&command.cwd)?, _strings: strings, argv, envp })
    }

    /// Runs in the child. Tells the failed step through `failure` and exits if there is one.
    ///
    /// # Safety
    /// Only after a fork, in the child.
    unsafe fn become_program(&self, ends: [i32; 3], failure: i32) -> ! {
        // SAFETY: plain system calls on memory that outlives them.
        unsafe {
            let fail = |step: u8, errno: i32| -> ! {
                let mut told = [0; 5];
                told[..4].copy_from_slice(&errno.to_le_bytes());
                told[4] = step;
                libc::write(failure, told.as_ptr().cast(), told.len());
                libc::_exit(127)
            };
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
            if libc::setsid() < 0 {
                fail(0, *libc::__errno_location());
            }
            for (target, end) in ends.into_iter().enumerate() {
                if libc::dup2(end, target as i32) < 0 {
                    fail(1, *libc::__errno_location());
                }
            }
            // The file is not ours to write while we are not dumpable; the program will be anyway.
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
            let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
            if score >= 0 {
                libc::write(score, OOM_SCORE.as_ptr().cast(), OOM_SCORE.len());
                libc::close(score);
            }
            if libc::chdir(self.cwd.as_ptr()) < 0 {
                fail(2, *libc::__errno_location());
            }
            let mut errno = libc::ENOENT;
            for candidate in &self.candidates {
                libc::execve(candidate.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr());
                match *libc::__errno_location() {
                    libc::ENOENT | libc::ENOTDIR => {}
                    // As a shell does: one that may not be run counts more than none at all, but
                    // a later folder may still have one.
                    libc::EACCES => errno = libc::EACCES,
                    other => fail(3, other),
                }
            }
            fail(3, errno)
        }
    }
}

/// A name with a slash is a path; another is looked for where PATH says.
fn candidates(name: &str, path: &str) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let folder = |folder: &str| match folder {
        "" => format!("./{name}"),
        _ => format!("{folder}/{name}"),
    };
    path.split(':').map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_in_path_and_a_path_is_taken_as_it_is() {
        assert_eq!(candidates("./a", "/bin"), ["./a"]);
        assert_eq!(candidates("a", "/x:/y"), ["/x/a", "/y/a"]);
    }
}
