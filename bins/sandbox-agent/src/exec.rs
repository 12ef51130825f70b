//! One command: its process, its streams, and its end.
//!
//! ```text
//!   spawn ─► running ──child reaped──► draining ──both streams read out──► exited ─► (forgotten)
//!                │                        │
//!                └── flood, backstop, signal: its processes are killed, and it goes the same way
//! ```

use crate::{
    capture::Capture,
    processes::{Reaped, signal_all, signal_tree},
    spawn::{NotExecuted, Spawned},
};
use contracts::link::{
    Command, End, ExecStatus, Exited, KilledBy,
    kernel::{Cell, MAX_STDIN_BYTES},
};
use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

/// How long a killed sandbox may hold its streams open. SIGKILL takes microseconds; a process in an
/// uninterruptible wait takes what it takes, and the result shall not.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// How long an interrupted cell may take to give up before its kernel is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

pub(crate) struct Exec {
    pid: Option<i32>,
    sole: bool,
    /// The name of a cell, whose process is a kernel's.
    cell: Option<String>,
    /// When an interrupt counts as ignored.
    patience_ends: Option<Instant>,
    started: Instant,
    backstop: Option<Instant>,
    flood_bytes: u64,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdin_queue: VecDeque<u8>,
    pub(crate) stdin_ends: bool,
    /// Given so far, read or not.
    stdin_bytes: u64,
    pub(crate) stdout: Capture,
    pub(crate) stderr: Capture,
    pub(crate) display: Capture,
    killed_by: Option<KilledBy>,
    ended: Option<Ended>,
    pub(crate) exited: Option<Exited>,
    /// Whether the host of this link wants to hear of it, and has heard the end.
    pub(crate) wanted: bool,
    pub(crate) end_told: bool,
}

/// How the folders are when a command ends.
pub(crate) struct Folders {
    pub(crate) disk_full: bool,
    pub(crate) artifacts: bool,
}

struct Ended {
    end: End,
    at: Instant,
    cpu_us: u64,
    max_rss_bytes: u64,
}

impl Exec {
    pub(crate) fn running(command: &Command, spawned: Spawned, now: Instant) -> Self {
        let backstop = Duration::from_millis(command.backstop_ms);
        Self {
            pid: Some(spawned.pid),
            sole: command.sole,
            cell: None,
            patience_ends: None,
            started: now,
            backstop: (command.backstop_ms > 0).then(|| now + backstop),
            flood_bytes: command.flood_bytes,
            stdin: spawned.stdin,
            stdin_queue: VecDeque::new(),
            stdin_ends: false,
            stdin_bytes: 0,
            stdout: Capture::new(Some(spawned.stdout), command.output_bytes),
            stderr: Capture::new(Some(spawned.stderr), command.output_bytes),
            display: Capture::new(None, 0),
            killed_by: None,
            ended: None,
            exited: None,
            wanted: true,
            end_told: false,
        }
    }

    pub(crate) fn not_executed(failure: &NotExecuted, now: Instant) -> Self {
        let mut exec = Self::without_process(0, 0, now);
        exec.cell_ended(failure.into(), now);
        exec
    }

    /// A cell, whose output its kernel's pipes will bring.
    pub(crate) fn cell(cell: &Cell, now: Instant) -> Self {
        let backstop = Duration::from_millis(cell.backstop_ms);
        Self {
            cell: Some(cell.name.clone()),
            backstop: (cell.backstop_ms > 0).then(|| now + backstop),
            flood_bytes: cell.flood_bytes,
            ..Self::without_process(cell.output_bytes, cell.display_bytes, now)
        }
    }

    fn without_process(output_bytes: u64, display_bytes: u64, now: Instant) -> Self {
        Self {
            pid: None,
            sole: false,
            cell: None,
            patience_ends: None,
            started: now,
            backstop: None,
            flood_bytes: 0,
            stdin: None,
            stdin_queue: VecDeque::new(),
            stdin_ends: false,
            stdin_bytes: 0,
            stdout: Capture::new(None, output_bytes),
            stderr: Capture::new(None, output_bytes),
            display: Capture::new(None, display_bytes),
            killed_by: None,
            ended: None,
            exited: None,
            wanted: true,
            end_told: false,
        }
    }

    pub(crate) fn is_process(&self, pid: i32) -> bool {
        self.pid == Some(pid)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.exited.is_none()
    }

    pub(crate) fn status(&self, exec: u32) -> ExecStatus {
        let exited = self.exited.is_some();
        let (stdout, stderr) = (self.stdout.kept(), self.stderr.kept());
        let takes = self.stdin.is_some() && !self.stdin_ends;
        let stdin = takes.then_some(self.stdin_bytes);
        ExecStatus { exec, exited, stdout, stderr, cell: self.cell.clone(), stdin }
    }

    /// A cell is done, or never began.
    pub(crate) fn cell_ended(&mut self, end: End, at: Instant) {
        self.ended = Some(Ended { end, at, cpu_us: 0, max_rss_bytes: 0 });
        self.close_stdin();
    }

    pub(crate) fn signal(&self, signal: i32) {
        match self.pid {
            Some(_) if self.sole => signal_all(signal),
            Some(pid) => signal_tree(pid, signal),
            None => {}
        }
    }

    /// The child was reaped. Its number may be given to another process from now on.
    pub(crate) fn child_ended(&mut self, reaped: &Reaped, now: Instant) {
        self.pid = None;
        let end = match libc::WIFSIGNALED(reaped.status) {
            true => End::Signal(libc::WTERMSIG(reaped.status)),
            false => End::Code(libc::WEXITSTATUS(reaped.status)),
        };
        let Reaped { cpu_us, max_rss_bytes, .. } = *reaped;
        self.ended = Some(Ended { end, at: now, cpu_us, max_rss_bytes });
        self.close_stdin();
    }

    /// Nobody reads what was not read by now, and a writer must not wait for it.
    fn close_stdin(&mut self) {
        self.stdin = None;
        self.stdin_queue = VecDeque::new();
    }

    /// Takes bytes for the program's standard input.
    pub(crate) fn take_stdin(&mut self, data: Vec<u8>) {
        self.stdin_bytes += data.len() as u64;
        // The host counts too, and so this never happens: what piles up would stop the whole link.
        let too_much = self.cell.is_some() && self.stdin_bytes > MAX_STDIN_BYTES;
        if self.stdin.is_some() && !too_much {
            self.stdin_queue.extend(data);
        }
    }

    /// Applies the agent's own limits. The host has earlier and better ones. What is handed back is
    /// the signal that a cell's kernel shall get.
    pub(crate) fn enforce(&mut self, now: Instant) -> Option<i32> {
        if self.ended.is_some() {
            return None;
        }
        if self.patience_ends.is_some_and(|ends| now >= ends) {
            self.patience_ends = None;
            return Some(libc::SIGKILL);
        }
        if self.killed_by.is_some() {
            return None;
        }
        let written = self.stdout.total() + self.stderr.total() + self.display.total();
        if written > self.flood_bytes {
            self.killed_by = Some(KilledBy::Flood);
        } else if self.backstop.is_some_and(|backstop| now >= backstop) {
            self.killed_by = Some(KilledBy::Backstop);
        }
        self.killed_by?;
        if self.cell.is_some() {
            // State is worth a try to save it.
            self.patience_ends = Some(now + INTERRUPT_GRACE);
            return Some(libc::SIGINT);
        }
        self.signal(libc::SIGKILL);
        None
    }

    /// When `enforce` or `finish` next has something to do without any other event.
    pub(crate) fn next_moment(&self) -> Option<Instant> {
        match (&self.ended, &self.exited) {
            (_, Some(_)) => None,
            (Some(_), None) => Some(Instant::now() + Duration::from_millis(10)),
            (None, None) if self.killed_by.is_some() => self.patience_ends,
            (None, None) => self.backstop,
        }
    }

    /// Turns an ended child into an exited command once its output is complete; `true` when it
    /// just did.
    pub(crate) fn finish(
        &mut self,
        scratch: &mut [u8],
        now: Instant,
        folders: impl Fn() -> Folders,
    ) -> bool {
        let Some(ended) = self.ended.as_ref().filter(|_| self.exited.is_none()) else {
            return false;
        };
        if self.sole {
            // What it left behind would hold the streams open and outlive its job.
            signal_all(libc::SIGKILL);
        }
        // In a session background work may keep the streams: then what is there now is the output.
        let pieces = 64;
        let open = self.stdout.read(scratch, pieces) | self.stderr.read(scratch, pieces);
        let overdue = now >= ended.at + DRAIN_LIMIT;
        if self.sole && open && !overdue {
            return false;
        }
        let Folders { disk_full, artifacts } = folders();
        self.exited = Some(Exited {
            end: ended.end.clone(),
            killed_by: self.killed_by,
            stdout_bytes: self.stdout.total(),
            stderr_bytes: self.stderr.total(),
            display_bytes: self.display.total(),
            wall_us: (ended.at - self.started).as_micros() as u64,
            cpu_us: ended.cpu_us,
            max_rss_bytes: ended.max_rss_bytes,
            disk_full,
            artifacts,
        });
        true
    }

    /// Hands queued bytes to the program's standard input, as many as it takes.
    pub(crate) fn feed(&mut self) {
        while let (Some(pipe), false) = (&self.stdin, self.stdin_queue.is_empty()) {
            match rustix::io::write(pipe, self.stdin_queue.as_slices().0) {
                Ok(count) => drop(self.stdin_queue.drain(..count)),
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::INTR) => {}
                // The program closed its end: it wants no more.
                Err(_) => self.close_stdin(),
            }
        }
        if self.stdin_ends && self.stdin_queue.is_empty() {
            self.stdin = None;
        }
    }
}
