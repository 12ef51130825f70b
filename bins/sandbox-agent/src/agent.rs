//! The loop: one `poll` over the link, the signals and every command's streams.

use crate::{
    connection::{Connection, Lost},
    exec::{Exec, Folders},
    fence::Fence,
    files::{Calls, Collection, Puts},
    kernels::Kernels,
    options::Options,
    process_setup::is_init,
    processes, spawn,
    terminals::Terminals,
};
use contracts::link::{
    Command, ExecId, FromAgent, MAX_CHUNK_BYTES, Resume, Root, Stream, ToAgent, Truncation,
    VERSION, kernel::ToKernels,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// Between two tries to reach a host: at once after a loss, then slower.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Standard input that waits for a program. Beyond this no ping is answered, and the host sends no
/// more of it: everything else on the link goes on, the signal that ends a deaf program first of all.
const STDIN_BYTES: usize = 1 << 20;

/// A host that does not wait for its answer waits here, and with it everything else on the link.
const MOST_STDIN_BYTES: usize = 4 * STDIN_BYTES;

/// Pieces taken from one stream before the others have their turn.
const PIECES: usize = 4;

/// A sandbox that no host has claimed for so long, with nothing running, is nobody's.
const FORSAKEN: Duration = Duration::from_secs(24 * 3600);
const FORSAKEN_DIRECT: Duration = Duration::from_secs(600);

pub(crate) struct Agent {
    options: Options,
    fence: Fence,
    signals: OwnedFd,
    link: Option<Connection>,
    lost_at: Instant,
    next_try: Instant,
    pause: Duration,
    execs: BTreeMap<ExecId, Exec>,
    kernels: Kernels,
    terminals: Terminals,
    puts: Puts,
    collections: VecDeque<Collection>,
    calls: Calls,
    /// Streams of ended commands that background work still holds: emptied, not kept.
    leftovers: Vec<OwnedFd>,
    scratch: Vec<u8>,
    /// The host has asked for an answer, and has none yet.
    owes_pong: bool,
    stopping: bool,
}

impl Agent {
    pub(crate) fn new(options: Options, signals: OwnedFd, fence: Fence) -> Self {
        let now = Instant::now();
        Self {
            options,
            fence,
            signals,
            link: None,
            lost_at: now,
            next_try: now,
            pause: FIRST_PAUSE,
            execs: BTreeMap::new(),
            kernels: Kernels::default(),
            terminals: Terminals::default(),
            puts: Puts::default(),
            collections: VecDeque::new(),
            calls: Calls::default(),
            leftovers: Vec::new(),
            scratch: vec![0; MAX_CHUNK_BYTES],
            owes_pong: false,
            stopping: false,
        }
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        // A convenience for programs; without room or rights for it they make it themselves.
        let _made = std::fs::create_dir(self.options.job.join("artifacts"));
        while !self.stopping {
            self.reach_host();
            self.wait()?;
            self.hear_signals();
            self.hear_host();
            self.obey();
            self.serve_commands();
            self.tell();
            self.stopping |= self.is_forsaken();
        }
        processes::signal_all(libc::SIGKILL);
        Ok(())
    }

    fn reach_host(&mut self) {
        let now = Instant::now();
        if self.link.is_some() || now < self.next_try {
            return;
        }
        match Connection::connect(&self.options.link) {
            Some(mut link) => {
                let execs = self.execs.iter().map(|(id, exec)| exec.status(*id)).collect();
                let kernels = self.kernels.names();
                let terminals = self.terminals.statuses();
                let landlock = self.fence.status();
                link.send(&FromAgent::Hello {
                    version: VERSION,
                    execs,
                    kernels,
                    terminals,
                    landlock,
                });
                self.link = Some(link);
                self.pause = FIRST_PAUSE;
            }
            None => {
                self.next_try = now + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Whether no program has so much or more of its standard input to read.
    fn stdin_is_below(&self, bytes: usize) -> bool {
        self.execs.values().all(|exec| exec.stdin_queue.len() < bytes)
    }

    fn listens_to_host(&self) -> bool {
        self.stdin_is_below(MOST_STDIN_BYTES)
    }

    fn hear_host(&mut self) {
        if self.listens_to_host()
            && let Some(link) = &mut self.link
            && link.fill(&mut self.scratch).is_err()
        {
            self.lose_host();
        }
    }

    fn lose_host(&mut self) {
        self.link = None;
        self.lost_at = Instant::now();
        self.next_try = self.lost_at;
        self.puts.clear();
        self.collections.clear();
        self.calls.clear();
        self.owes_pong = false;
        for exec in self.execs.values_mut() {
            exec.wanted = false;
        }
    }

    fn is_forsaken(&self) -> bool {
        let limit = if is_init() { FORSAKEN } else { FORSAKEN_DIRECT };
        // Outside of a container, a sandbox whose folder was removed is no sandbox any more.
        let homeless = || !is_init() && !self.options.link.parent().is_some_and(Path::exists);
        self.link.is_none()
            && !self.execs.values().any(Exec::is_running)
            && (self.lost_at.elapsed() > limit || homeless())
    }

    /// Sleeps until something is to be done.
    fn wait(&self) -> io::Result<()> {
        let listens = self.link.as_ref().is_some_and(|link| link.welcomed);
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        if let Some(link) = &self.link {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.listens_to_host());
            flags.set(PollFlags::OUT, link.has_outgoing());
            fds.push(PollFd::from_borrowed_fd(link.fd(), flags));
        }
        for exec in self.execs.values() {
            let streams = [exec.stdout.wanted(listens), exec.stderr.wanted(listens)];
            fds.extend(streams.into_iter().flatten().map(readable));
            if let (Some(fd), false) = (&exec.stdin, exec.stdin_queue.is_empty()) {
                fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT));
            }
        }
        self.kernels.poll_fds(&self.execs, listens, &mut fds);
        self.terminals.poll_fds(listens, &mut fds);
        if self.link.as_ref().is_some_and(Connection::has_room) {
            self.calls.poll_fds(&mut fds);
        }
        fds.extend(self.leftovers.iter().map(|fd| readable(fd.as_fd())));
        let timeout = self.next_moment().map(|moment| {
            let wait = moment.saturating_duration_since(Instant::now());
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next_moment(&self) -> Option<Instant> {
        let collecting = (!self.collections.is_empty() || self.calls.has_work())
            && self.link.as_ref().is_some_and(Connection::has_room);
        let now = Instant::now();
        let moments = [
            self.link.is_none().then_some(self.next_try),
            collecting.then_some(now),
            self.execs.values().filter_map(Exec::next_moment).min(),
            self.kernels.next_moment(),
        ];
        moments.into_iter().flatten().min()
    }

    fn hear_signals(&mut self) {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = [0; SIZE];
        while let Ok(SIZE) = rustix::io::read(&self.signals, &mut info) {
            let signal = i32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            // A first process can't be asked to end; one without a sandbox around it can.
            self.stopping |= signal != libc::SIGCHLD && !is_init();
        }
        let now = Instant::now();
        while let Some(reaped) = processes::reap() {
            if let Some(exec) = self.execs.values_mut().find(|exec| exec.is_process(reaped.pid)) {
                exec.child_ended(&reaped, now);
            } else if !self.terminals.child_ended(&reaped, &mut self.scratch) {
                let (execs, scratch) = (&mut self.execs, &mut self.scratch);
                self.leftovers.extend(self.kernels.child_ended(&reaped, execs, scratch));
            }
        }
    }

    /// Does what the host has asked for.
    fn obey(&mut self) {
        loop {
            let message = match self.link.as_mut().map(Connection::next) {
                Some(Ok(Some(message))) => message,
                Some(Ok(None)) | None => return,
                Some(Err(Lost)) => return self.lose_host(),
            };
            match message {
                ToAgent::Welcome { version: VERSION, resume } => self.welcome(&resume),
                // An upgraded host: it will find that it can't talk to us, and end us.
                ToAgent::Welcome { .. } => return self.lose_host(),
                ToAgent::Start { exec, command } => self.start(exec, &command),
                ToAgent::Stdin { exec, data } => {
                    if let Some(exec) = self.execs.get_mut(&exec) {
                        exec.take_stdin(data);
                    }
                }
                ToAgent::StdinEnd { exec } => {
                    if let Some(exec) = self.execs.get_mut(&exec) {
                        exec.stdin_ends = true;
                    }
                }
                ToAgent::Signal { exec, signal } => {
                    self.kernels.signal(exec, signal);
                    if let Some(exec) = self.execs.get(&exec) {
                        exec.signal(signal);
                    }
                }
                ToAgent::Forget { exec } => self.forget(exec),
                ToAgent::Put { request, root, path, executable, data, last } => {
                    let root = folder(&self.options, root);
                    let file = (path.as_str(), executable);
                    if let Some(done) = self.puts.piece(root, request, file, &data, last) {
                        let outcome = done.map(|()| Truncation::Whole);
                        self.say(&FromAgent::Done { request, outcome });
                    }
                }
                ToAgent::Collect { request, root, within, globs, max_files, max_bytes } => {
                    let root = folder(&self.options, root);
                    let wanted = crate::files::Wanted {
                        within: &within,
                        globs: &globs,
                        max_files,
                        max_bytes,
                    };
                    match Collection::begin(request, root, &wanted) {
                        Ok(collection) => self.collections.push_back(collection),
                        Err(error) => self.say(&FromAgent::Done { request, outcome: Err(error) }),
                    }
                }
                ToAgent::Ping => self.owes_pong = true,
                ToAgent::Kernels(message) => self.obey_for_kernels(message),
                ToAgent::Terminals(message) => self.terminals.obey(message, &self.fence),
                ToAgent::Files { request, order } => {
                    if let Some(news) = self.calls.take(&self.options.workspace, request, order) {
                        self.say(&FromAgent::Files { request, news });
                    }
                }
            }
        }
    }

    fn obey_for_kernels(&mut self, message: ToKernels) {
        let execs = &mut self.execs;
        match message {
            ToKernels::Start { kernel, command } => {
                self.leftovers.extend(self.kernels.start(kernel, &command, &self.fence, execs));
            }
            ToKernels::Cell { exec, cell } => {
                self.kernels.run(exec, &cell, execs, &mut self.scratch);
            }
            ToKernels::End { kernel } => self.leftovers.extend(self.kernels.end(&kernel, execs)),
        }
    }

    fn welcome(&mut self, resume: &[Resume]) {
        for Resume { exec, stdout, stderr, display } in resume {
            if let Some(exec) = self.execs.get_mut(exec) {
                exec.stdout.resume_at(*stdout);
                exec.stderr.resume_at(*stderr);
                exec.display.resume_at(*display);
                exec.wanted = true;
                exec.end_told = false;
            }
        }
        self.terminals.resume();
        if let Some(link) = &mut self.link {
            link.welcomed = true;
        }
    }

    fn start(&mut self, id: ExecId, command: &Command) {
        let now = Instant::now();
        let exec = match spawn::spawn(command, &self.fence) {
            Ok(spawned) => {
                self.say(&FromAgent::Started { exec: id });
                Exec::running(command, spawned, now)
            }
            Err(failure) => Exec::not_executed(&failure, now),
        };
        self.execs.insert(id, exec);
    }

    fn forget(&mut self, id: ExecId) {
        let ended = |exec: &Exec| exec.exited.is_some();
        if self.execs.get(&id).is_some_and(ended) {
            self.execs.remove(&id);
        }
    }

    /// Moves bytes between the host and the commands, and notices ends.
    fn serve_commands(&mut self) {
        let listens = self.link.as_ref().is_some_and(|link| link.welcomed);
        let now = Instant::now();
        let options = &self.options;
        self.kernels.serve(&mut self.execs, listens, &mut self.scratch);
        self.terminals.serve(listens, &mut self.scratch);
        for (id, exec) in &mut self.execs {
            exec.feed();
            if exec.stdout.wanted(listens).is_some() {
                exec.stdout.read(&mut self.scratch, PIECES);
            }
            if exec.stderr.wanted(listens).is_some() {
                exec.stderr.read(&mut self.scratch, PIECES);
            }
            if let Some(signal) = exec.enforce(now) {
                self.kernels.signal(*id, signal);
            }
            if exec.finish(&mut self.scratch, now, || folders(options)) {
                self.leftovers
                    .extend(exec.stdout.give_up().into_iter().chain(exec.stderr.give_up()));
            }
        }
        let scratch = &mut self.scratch;
        self.leftovers.retain(|pipe| !matches!(rustix::io::read(pipe, &mut **scratch), Ok(0)));
    }

    /// Tells the host what is new, as far as it listens.
    fn tell(&mut self) {
        let has_room = self.stdin_is_below(STDIN_BYTES);
        let Some(link) = &mut self.link else { return };
        if self.owes_pong && has_room {
            link.send(&FromAgent::Pong);
            self.owes_pong = false;
        }
        if link.welcomed {
            for (id, exec) in self.execs.iter_mut().filter(|(_, exec)| exec.wanted) {
                tell_exec(link, *id, exec);
            }
            self.terminals.tell(link);
        }
        while let (true, Some(collection)) = (link.has_room(), self.collections.front_mut()) {
            let message = collection.next();
            link.send(&message);
            if Collection::is_done(&message) {
                self.collections.pop_front();
            }
        }
        if link.has_room() {
            for (request, news) in self.calls.step() {
                link.send(&FromAgent::Files { request, news });
            }
        }
        if link.flush().is_err() {
            self.lose_host();
        }
    }

    fn say(&mut self, message: &FromAgent) {
        if let Some(link) = &mut self.link {
            link.send(message);
        }
    }
}

fn tell_exec(link: &mut Connection, id: ExecId, exec: &mut Exec) {
    for (stream, capture) in [
        (Stream::Stdout, &mut exec.stdout),
        (Stream::Stderr, &mut exec.stderr),
        (Stream::Display, &mut exec.display),
    ] {
        while link.has_room() {
            let Some((offset, data)) = capture.next_piece(MAX_CHUNK_BYTES) else {
                break;
            };
            link.send(&FromAgent::Output { exec: id, stream, offset, data });
        }
    }
    if let (Some(exited), false) = (&exec.exited, exec.end_told)
        && exec.stdout.all_sent()
        && exec.stderr.all_sent()
        && exec.display.all_sent()
    {
        link.send(&FromAgent::Exited { exec: id, exited: exited.clone() });
        exec.end_told = true;
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

fn folder(options: &Options, root: Root) -> &Path {
    match root {
        Root::Workspace => &options.workspace,
        Root::Job => &options.job,
    }
}

/// What the host wants to know of the folders when a command ends.
fn folders(options: &Options) -> Folders {
    let entries = std::fs::read_dir(options.job.join("artifacts"));
    // One that can't be read is the host's to report on.
    let artifacts = entries.map_or_else(
        |error| error.kind() != io::ErrorKind::NotFound,
        |mut entries| entries.next().is_some(),
    );
    Folders { disk_full: disk_full(options), artifacts }
}

/// Whether a folder that has a size of its own has no room left. Outside of a container the folders
/// have none, and a full disk there is not the program's doing.
fn disk_full(options: &Options) -> bool {
    let full = |path: &std::path::PathBuf| {
        rustix::fs::statvfs(path)
            .is_ok_and(|stat| stat.f_bavail * stat.f_frsize < 4096 || stat.f_favail == 0)
    };
    is_init() && [&options.workspace, &options.tmp, &options.job].into_iter().any(full)
}
