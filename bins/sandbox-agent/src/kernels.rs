//! The sandbox's kernels: interpreters that stay between cells.
//!
//! A kernel's process belongs to whoever wrote the code that it runs. So its words are bounded and
//! few, only the cell that it was given last can be told done, and one that says anything else is
//! killed: what it breaks is its own.

mod events;

use crate::{
    exec::Exec,
    fence::Fence,
    processes::{Reaped, signal_group, signal_tree},
    spawn::{self, Control, NotExecuted, writing_end},
};
use contracts::link::{
    Command, End, ExecId,
    kernel::{Cell, Input, KernelEnd, MAX_KERNELS, request},
};
pub use events::{Event, Events};

use rustix::{event::PollFd, event::PollFlags, io::Errno};
use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

/// Pieces taken from one stream before the others have their turn, and when a cell is done.
const PIECES: usize = 4;
const LAST_PIECES: usize = 64;

/// A dying process closes its pipes a moment before it can be reaped; one that lives and closed them
/// is killed.
const HUNG_UP: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(crate) struct Kernels(BTreeMap<String, Kernel>);

type Execs = BTreeMap<ExecId, Exec>;

struct Kernel {
    state: State,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    requests: Option<OwnedFd>,
    /// Our reading end of its standard input. Each cell that is given some has a writing end of its own.
    stdin: Option<OwnedFd>,
    queue: VecDeque<u8>,
    events: Events,
    /// The cell that it runs.
    current: Option<ExecId>,
    /// It broke the rules and was killed for it.
    breach: bool,
    /// It closed its end of a control pipe.
    hung_up: Option<Instant>,
}

enum State {
    Runs(i32),
    /// Its end, which nobody was told of yet.
    Ended(KernelEnd),
    NotExecuted(NotExecuted),
}

impl Kernels {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Replaces one of the same name. What its background work still writes is left over.
    pub(crate) fn start(
        &mut self,
        name: String,
        command: &Command,
        fence: &Fence,
        execs: &mut Execs,
    ) -> Vec<OwnedFd> {
        let leftovers = self.end(&name, execs);
        if self.0.len() < MAX_KERNELS {
            self.0.insert(name, Kernel::start(command, fence));
        }
        leftovers
    }

    /// Kills a kernel and forgets it. A cell that it runs ends with it.
    pub(crate) fn end(&mut self, name: &str, execs: &mut Execs) -> Vec<OwnedFd> {
        let Some(mut kernel) = self.0.remove(name) else { return Vec::new() };
        kernel.signal(libc::SIGKILL);
        if let Some(exec) = kernel.current.take().and_then(|id| execs.get_mut(&id)) {
            let end = KernelEnd::Signal(libc::SIGKILL);
            exec.cell_ended(End::Kernel { end, ran: true }, Instant::now());
        }
        kernel.streams()
    }

    pub(crate) fn run(&mut self, id: ExecId, cell: &Cell, execs: &mut Execs, scratch: &mut [u8]) {
        let now = Instant::now();
        let mut exec = Exec::cell(cell, now);
        match self.0.get_mut(&cell.kernel) {
            None => exec.cell_ended(End::NoKernel, now),
            Some(Kernel { state: State::Ended(end), .. }) => {
                exec.cell_ended(End::Kernel { end: *end, ran: false }, now);
                self.0.remove(&cell.kernel);
            }
            Some(Kernel { state: State::NotExecuted(failure), .. }) => {
                exec.cell_ended((&*failure).into(), now);
                self.0.remove(&cell.kernel);
            }
            // The host gives one cell at a time; a second one would never be told from the first.
            Some(kernel) if kernel.current.is_some() => exec.cell_ended(End::NoKernel, now),
            Some(kernel) => {
                // What background work wrote before is nobody's output.
                kernel.read(None, scratch, LAST_PIECES);
                kernel.discard_input(scratch);
                kernel.current = Some(id);
                if cell.input != Input::None {
                    exec.stdin = kernel.stdin.as_ref().and_then(writing_end);
                }
                for (name, value) in &cell.env {
                    kernel.request([request::ENV, name, value]);
                }
                let mode = if cell.rich { "rich" } else { "plain" };
                let about = format!("{id} {mode} {} {}", cell.dialect, cell.input.word());
                kernel.request([request::CELL, &about, &cell.code]);
            }
        }
        execs.insert(id, exec);
    }

    /// A signal to whatever runs this cell.
    pub(crate) fn signal(&mut self, id: ExecId, signal: i32) {
        if let Some(kernel) = self.0.values_mut().find(|kernel| kernel.current == Some(id)) {
            kernel.signal(signal);
        }
    }

    /// Takes note of a kernel's end, if it was one; what its background work still writes is left
    /// over.
    pub(crate) fn child_ended(
        &mut self,
        reaped: &Reaped,
        execs: &mut Execs,
        scratch: &mut [u8],
    ) -> Vec<OwnedFd> {
        let is_its =
            |kernel: &Kernel| matches!(kernel.state, State::Runs(pid) if pid == reaped.pid);
        let Some((name, kernel)) = self.0.iter_mut().find(|(_, kernel)| is_its(kernel)) else {
            return Vec::new();
        };
        let end = match (kernel.breach, libc::WIFSIGNALED(reaped.status)) {
            (true, _) => KernelEnd::Protocol,
            (_, true) => KernelEnd::Signal(libc::WTERMSIG(reaped.status)),
            (_, false) => KernelEnd::Code(libc::WEXITSTATUS(reaped.status)),
        };
        kernel.state = State::Ended(end);
        let cell = kernel.current.take().and_then(|id| execs.get_mut(&id));
        let told = cell.is_some();
        if let Some(exec) = cell {
            kernel.read(Some(exec), scratch, LAST_PIECES);
            exec.cell_ended(End::Kernel { end, ran: true }, Instant::now());
        }
        let streams = kernel.streams();
        if told {
            let name = name.clone();
            self.0.remove(&name);
        }
        streams
    }

    /// What to sleep on.
    pub(crate) fn poll_fds<'a>(&'a self, execs: &Execs, listens: bool, fds: &mut Vec<PollFd<'a>>) {
        for kernel in self.0.values() {
            let behind = kernel.is_behind(execs, listens);
            let streams = [&kernel.stdout, &kernel.stderr].into_iter().flatten();
            let readable = |fd: &'a OwnedFd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN);
            fds.extend(streams.filter(|_| !behind).map(readable));
            fds.extend(kernel.events.fd().map(readable));
            if let (Some(fd), false) = (&kernel.requests, kernel.queue.is_empty()) {
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT));
            }
        }
    }

    /// When `serve` next has something to do without any other event.
    pub(crate) fn next_moment(&self) -> Option<Instant> {
        let waits = |kernel: &&Kernel| !kernel.breach && matches!(kernel.state, State::Runs(_));
        let hung_up = self.0.values().filter(waits).filter_map(|kernel| kernel.hung_up);
        hung_up.min().map(|at| at + HUNG_UP)
    }

    /// Moves bytes between kernels and cells, and notices what is done.
    pub(crate) fn serve(&mut self, execs: &mut Execs, listens: bool, scratch: &mut [u8]) {
        for kernel in self.0.values_mut() {
            kernel.write();
            if !kernel.is_behind(execs, listens) {
                let exec = kernel.current.and_then(|id| execs.get_mut(&id));
                kernel.read(exec, scratch, PIECES);
            }
            kernel.hear(execs, scratch);
            if !kernel.breach && kernel.hung_up.is_some_and(|at| at.elapsed() >= HUNG_UP) {
                kernel.break_off();
            }
        }
    }
}

impl Kernel {
    fn start(command: &Command, fence: &Fence) -> Self {
        let mut kernel = Self {
            state: State::Ended(KernelEnd::Protocol),
            stdout: None,
            stderr: None,
            requests: None,
            stdin: None,
            queue: VecDeque::new(),
            events: Events::default(),
            current: None,
            breach: false,
            hung_up: None,
        };
        match spawn::spawn_kernel(command, fence) {
            Ok((spawned, Control { requests, events })) => {
                kernel.state = State::Runs(spawned.pid);
                kernel.stdout = Some(spawned.stdout);
                kernel.stderr = Some(spawned.stderr);
                kernel.requests = Some(requests);
                kernel.stdin = spawned.stdin;
                kernel.events = Events::from(events);
            }
            Err(failure) => kernel.state = State::NotExecuted(failure),
        }
        kernel
    }

    fn request(&mut self, fields: [&str; 3]) {
        for field in fields {
            // A NUL inside would end the field early: the host refuses such code before.
            self.queue.extend(field.bytes().filter(|byte| *byte != 0));
            self.queue.push_back(0);
        }
    }

    /// As a terminal would: an interrupt is for whoever is in the foreground, anything else for all.
    fn signal(&mut self, signal: i32) {
        let State::Runs(pid) = self.state else { return };
        if signal == libc::SIGINT {
            self.request([request::INTERRUPT, "", ""]);
            signal_group(pid, signal);
        } else {
            signal_tree(pid, signal);
        }
    }

    fn break_off(&mut self) {
        self.breach = true;
        self.signal(libc::SIGKILL);
    }

    fn is_behind(&self, execs: &Execs, listens: bool) -> bool {
        let exec = self.current.and_then(|id| execs.get(&id));
        exec.is_some_and(|exec| exec.stdout.is_behind(listens) || exec.stderr.is_behind(listens))
    }

    fn write(&mut self) {
        while let (Some(pipe), false) = (&self.requests, self.queue.is_empty()) {
            match rustix::io::write(pipe, self.queue.as_slices().0) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.requests = None;
                    self.hung_up.get_or_insert_with(Instant::now);
                }
            }
        }
    }

    /// Takes what is on the streams: the cell's output, or nobody's.
    fn read(&mut self, mut exec: Option<&mut Exec>, scratch: &mut [u8], pieces: usize) {
        for is_stdout in [true, false] {
            let pipe = if is_stdout { &mut self.stdout } else { &mut self.stderr };
            for _ in 0..pieces {
                let Some(fd) = &pipe else { break };
                match rustix::io::read(fd, &mut *scratch) {
                    Ok(0) => *pipe = None,
                    Ok(count) => match &mut exec {
                        Some(exec) if is_stdout => exec.stdout.take(&scratch[..count]),
                        Some(exec) => exec.stderr.take(&scratch[..count]),
                        None => {}
                    },
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(_) => *pipe = None,
                }
            }
        }
    }

    /// What one cell did not read is not for the next one.
    fn discard_input(&self, scratch: &mut [u8]) {
        for _ in 0..LAST_PIECES {
            let Some(stdin) = &self.stdin else { return };
            match rustix::io::read(stdin, &mut *scratch) {
                Ok(count) if count > 0 => {}
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn hear(&mut self, execs: &mut Execs, scratch: &mut [u8]) {
        if self.breach {
            return;
        }
        self.events.fill(scratch);
        loop {
            let exec = self.current.and_then(|id| execs.get_mut(&id));
            let room = exec.as_ref().map_or(0, |exec| exec.display.room());
            match (self.events.next(room), exec) {
                (Event::None, _) => return,
                (Event::End, _) => {
                    self.hung_up.get_or_insert_with(Instant::now);
                    return;
                }
                (Event::Display(line), Some(exec)) => exec.display.take_whole(&line),
                (Event::TooLong(bytes), Some(exec)) => exec.display.leave_out(bytes),
                // From a thread that a cell left behind: it comes too late for that one.
                (Event::Display(_) | Event::TooLong(_), None) => {}
                (Event::Done(id, code), Some(exec)) if self.current == Some(id) => {
                    self.current = None;
                    self.read(Some(exec), scratch, LAST_PIECES);
                    exec.cell_ended(End::Code(code), Instant::now());
                }
                (Event::Done(..) | Event::Nonsense, _) => return self.break_off(),
            }
        }
    }

    fn streams(&mut self) -> Vec<OwnedFd> {
        self.stdout.take().into_iter().chain(self.stderr.take()).collect()
    }
}

impl From<&NotExecuted> for End {
    fn from(failure: &NotExecuted) -> Self {
        Self::NotExecuted { errno: failure.errno, step: failure.step.to_owned() }
    }
}
