//! From a command to a running process. The child borrows our memory until it is the program, and we
//! stand still for so long: nothing is copied, and it tells a failure by leaving it where we look.
//! Everything is prepared before, because until then it may only make system calls.

use crate::fence::{Fence, Putting};
use contracts::link::{
    Command,
    kernel::{EVENTS_FD, REQUESTS_FD},
    terminal::Size,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    pty::OpenptFlags,
    termios::Winsize,
};
use std::{
    ffi::{CString, c_void},
    fs,
    os::fd::{AsRawFd, OwnedFd},
};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the kernel shall think of the program when memory is short: rather it than the agent.
const OOM_SCORE: &str = "500";

/// Room for the child's few calls.
const STACK_BYTES: usize = 64 << 10;

pub(crate) struct Spawned {
    pub(crate) pid: i32,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// A program on a terminal of its own.
pub(crate) struct OnTerminal {
    pub(crate) pid: i32,
    pub(crate) master: OwnedFd,
    /// Held so that the terminal stays while nobody inside has it open.
    _slave: OwnedFd,
}

/// Our ends of a kernel's control pipes.
pub(crate) struct Control {
    pub(crate) requests: OwnedFd,
    pub(crate) events: OwnedFd,
}

/// Descriptors of ours that the child shall find under a low number must not have one of those.
pub(crate) const ABOVE_TARGETS: i32 = 10;

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

pub(crate) fn spawn(command: &Command, fence: &Fence) -> Result<Spawned, NotExecuted> {
    let (child_stdin, stdin) = match command.stdin {
        true => pipe().map(|(read, write)| (read, Some(write)))?,
        false => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty());
            (null.map_err(NotExecuted::at("stdin"))?, None)
        }
    };
    spawn_with(command, fence, (child_stdin, stdin), None)
}

/// A command with two pipes more, for its requests and its events. Its `stdin` is our own reading end
/// of its standard input, which has no writing end until `writing_end` opens one.
pub(crate) fn spawn_kernel(
    command: &Command,
    fence: &Fence,
) -> Result<(Spawned, Control), NotExecuted> {
    let above = |fd: OwnedFd| {
        rustix::io::fcntl_dupfd_cloexec(fd, ABOVE_TARGETS).map_err(NotExecuted::at("pipe"))
    };
    let (theirs, requests) = pipe()?;
    let (events, theirs_too) = pipe()?;
    let ends = [above(theirs)?, above(theirs_too)?];
    for fd in [&requests, &events] {
        // A descriptor that is ours and open can be made non-blocking.
        let _set = rustix::io::ioctl_fionbio(fd, true);
    }
    let (child_stdin, _closed) = pipe()?;
    // Opened anew, and not copied: what the child changes of its end is not changed for ours.
    let ours = reopened(&child_stdin, OFlags::RDONLY).map_err(NotExecuted::at("stdin"))?;
    let spawned = spawn_with(command, fence, (child_stdin, Some(ours)), Some(ends))?;
    Ok((spawned, Control { requests, events }))
}

/// A command whose three streams are a terminal, which is its session's own.
pub(crate) fn spawn_on_terminal(
    command: &Command,
    fence: &Fence,
    size: Size,
) -> Result<OnTerminal, NotExecuted> {
    may_run(fence)?;
    let program = Program::prepare(command)?;
    let failed = || NotExecuted::at("terminal");
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).map_err(failed())?;
    rustix::pty::unlockpt(&master).map_err(failed())?;
    // By the master and not by a path: nobody inside can put another one there.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(failed())?;
    // A descriptor that is ours and open can be made non-blocking.
    let _set = rustix::io::ioctl_fionbio(&master, true);
    set_size(&master, size);
    let ends = [slave.as_raw_fd(); 3];
    let fence = fence.putting();
    let birth =
        Birth { program: &program, ends, control: None, on_terminal: true, fence, failed: None };
    Ok(OnTerminal { pid: birth.give()?, master, _slave: slave })
}

impl OnTerminal {
    /// The kernel tells those in the foreground of it.
    pub(crate) fn resize(&self, size: Size) {
        set_size(&self.master, size);
    }
}

fn set_size(master: &OwnedFd, size: Size) {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // A terminal that is ours and open has a size.
    let _set = rustix::termios::tcsetwinsize(master, size);
}

/// Another writing end of a pipe, by its reading end. When the last one closes, readers see the end of
/// what was written; a new one lets them wait again.
pub(crate) fn writing_end(reading: &OwnedFd) -> Option<OwnedFd> {
    reopened(reading, OFlags::WRONLY).ok()
}

fn reopened(pipe: &OwnedFd, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    rustix::fs::open(path, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), NotExecuted> {
    pipe_with(PipeFlags::CLOEXEC).map_err(NotExecuted::at("pipe"))
}

/// Where a fence is asked for and can't be put up, nothing runs.
fn may_run(fence: &Fence) -> Result<(), NotExecuted> {
    match fence.may_run() {
        true => Ok(()),
        false => Err(NotExecuted { errno: libc::EOPNOTSUPP, step: "landlock" }),
    }
}

fn spawn_with(
    command: &Command,
    fence: &Fence,
    (child_stdin, stdin): (OwnedFd, Option<OwnedFd>),
    control: Option<[OwnedFd; 2]>,
) -> Result<Spawned, NotExecuted> {
    may_run(fence)?;
    let program = Program::prepare(command)?;
    let (stdout, child_stdout) = pipe()?;
    let (stderr, child_stderr) = pipe()?;
    let ends = [child_stdin.as_raw_fd(), child_stdout.as_raw_fd(), child_stderr.as_raw_fd()];
    let control = control.as_ref().map(|[requests, events]| {
        [(requests.as_raw_fd(), REQUESTS_FD), (events.as_raw_fd(), EVENTS_FD)]
    });
    let fence = fence.putting();
    let birth = Birth { program: &program, ends, control, on_terminal: false, fence, failed: None };
    let pid = birth.give()?;
    for fd in [&stdout, &stderr].into_iter().chain(&stdin) {
        // A descriptor that is ours and open can be made non-blocking.
        let _set = rustix::io::ioctl_fionbio(fd, true);
    }
    Ok(Spawned { pid, stdin, stdout, stderr })
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
}

/// What the child needs, and what it leaves behind.
struct Birth<'a> {
    program: &'a Program,
    ends: [i32; 3],
    /// Of a kernel: more descriptors, and the numbers that they get after the others have theirs.
    control: Option<[(i32, i32); 2]>,
    /// The first stream is a terminal, which becomes the session's.
    on_terminal: bool,
    /// What the child puts around itself.
    fence: Option<Putting>,
    failed: Option<NotExecuted>,
}

impl Birth<'_> {
    /// Returns when the child is the program, or has failed and exited.
    fn give(mut self) -> Result<i32, NotExecuted> {
        let mut stack = vec![0_u8; STACK_BYTES];
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child runs `born` on a stack of its own, and this thread, the only one, goes
        // on when the child no longer uses our memory. The stack grows down from its aligned end.
        let pid = unsafe {
            let end = stack.as_mut_ptr().add(STACK_BYTES);
            let end = end.sub(end as usize % 16);
            libc::clone(born, end.cast(), flags, std::ptr::from_mut(&mut self).cast())
        };
        if pid < 0 {
            return Err(NotExecuted { errno: last_errno(), step: "fork" });
        }
        if let Some(failure) = self.failed {
            // SAFETY: waits for our own child, which has exited.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            return Err(failure);
        }
        // It inherits what we have; without the file, or with a stricter host, it keeps that.
        let _kept = fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE);
        Ok(pid)
    }

    /// Runs in the child, and returns only when it could not become the program.
    fn become_program(&self) -> NotExecuted {
        let failed = |step| NotExecuted { errno: last_errno(), step };
        // SAFETY: plain system calls on memory that was prepared before and outlives them. What
        // they change is the child's own: descriptors and handlers are not shared.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            if libc::setsid() < 0 {
                return failed("session");
            }
            for (target, end) in self.ends.into_iter().enumerate() {
                if libc::dup2(end, target as i32) < 0 {
                    return failed("descriptors");
                }
            }
            if self.on_terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                return failed("terminal");
            }
            for (end, target) in self.control.into_iter().flatten() {
                if libc::dup2(end, target) < 0 {
                    return failed("descriptors");
                }
            }
            if libc::chdir(self.program.cwd.as_ptr()) < 0 {
                return failed("cwd");
            }
            // Last: what comes before is done with our rights and not with the program's.
            if self.fence.is_some_and(|fence| !fence.put_on()) {
                return failed("landlock");
            }
            let mut errno = libc::ENOENT;
            for candidate in &self.program.candidates {
                let (argv, envp) = (self.program.argv.as_ptr(), self.program.envp.as_ptr());
                libc::execve(candidate.as_ptr(), argv, envp);
                match last_errno() {
                    libc::ENOENT | libc::ENOTDIR => {}
                    // As a shell does: one that may not be run counts more than none at all, but
                    // a later folder may still have one.
                    libc::EACCES => errno = libc::EACCES,
                    other => return NotExecuted { errno: other, step: "exec" },
                }
            }
            NotExecuted { errno, step: "exec" }
        }
    }
}

extern "C" fn born(birth: *mut c_void) -> libc::c_int {
    // SAFETY: `give` passes itself and waits.
    let birth = unsafe { &mut *birth.cast::<Birth<'_>>() };
    birth.failed = Some(birth.become_program());
    127
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
