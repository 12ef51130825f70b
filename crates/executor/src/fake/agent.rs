//! The agent of a fake sandbox: answers the link as a script says, and remembers across links.

use super::Script;
use contracts::landlock::Landlock;
use contracts::link::{
    Command, End, ExecId, ExecStatus, Exited, FileError, FromAgent, Root, Stream, ToAgent,
    Truncation, VERSION, decode, encode,
    files::{FileFault, FileNews},
    frame_length,
    kernel::{Cell, ToKernels},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Standard input that is taken in before no ping is answered.
const MOST_UNREAD: usize = 1 << 20;

/// What a scripted command does.
#[derive(Debug, Clone)]
pub struct Program {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// How long it runs; a signal ends it sooner.
    pub runs_for: Duration,
    pub end: End,
    /// Goes on when it gets TERM.
    pub ignores_term: bool,
    /// Files that it leaves behind.
    pub leaves: Vec<(Root, String, Vec<u8>)>,
    pub disk_full: bool,
    /// What its folders are made into.
    pub spoils: Option<Spoiled>,
}

/// Why nothing can be collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoiled {
    /// The agent says so.
    With(FileError),
    /// The agent dies of it.
    Deadly,
}

impl Program {
    pub fn prints(text: &str) -> Self {
        Self {
            stdout: text.as_bytes().to_vec(),
            stderr: Vec::new(),
            runs_for: Duration::ZERO,
            end: End::Code(0),
            ignores_term: false,
            leaves: Vec::new(),
            disk_full: false,
            spoils: None,
        }
    }

    pub fn runs_for(duration: Duration) -> Self {
        Self { runs_for: duration, ..Self::prints("") }
    }
}

pub(super) struct Agent {
    script: Script,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    files: BTreeMap<(u8, String), (bool, Vec<u8>)>,
    execs: BTreeMap<ExecId, Run>,
    spoiled: Option<Spoiled>,
}

/// A command that was started: what it wrote, and its end once it is known.
struct Run {
    program: Program,
    cell: Option<String>,
    signals: mpsc::UnboundedSender<i32>,
    exited: watch::Receiver<Option<Exited>>,
    /// Runs the clock of the program across links.
    _clock: JoinSet<()>,
}

impl Agent {
    pub(super) fn new(script: Script) -> Self {
        Self { script, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cell is a command to the script: `cell`, its kernel, its code.
    fn start(&self, exec: ExecId, command: &Command, cell: Option<String>) {
        let program = (self.script)(command);
        let (signals, signaled) = mpsc::unbounded_channel();
        let (ended, exited) = watch::channel(None);
        let mut clock = JoinSet::new();
        clock.spawn(run(program.clone(), signaled, ended));
        let mut memory = self.memory();
        for (root, path, data) in &program.leaves {
            memory.files.insert((*root as u8, path.clone()), (false, data.clone()));
        }
        memory.spoiled = program.spoils.clone();
        memory.execs.insert(exec, Run { program, cell, signals, exited, _clock: clock });
    }

    fn put(&self, root: Root, path: String, executable: bool, data: Vec<u8>) {
        let key = (root as u8, path);
        self.memory().files.entry(key).or_insert((executable, Vec::new())).1.extend(data);
    }

    fn signal(&self, exec: ExecId, signal: i32) {
        if let Some(run) = self.memory().execs.get(&exec) {
            // A run that ended has nobody left to tell.
            let _ended = run.signals.send(signal);
        }
    }

    fn forget(&self, exec: ExecId) {
        self.memory().execs.remove(&exec);
    }

    fn statuses(&self) -> Vec<ExecStatus> {
        let status = |(exec, run): (&ExecId, &Run)| ExecStatus {
            exec: *exec,
            exited: run.exited.borrow().is_some(),
            stdout: run.program.stdout.len() as u64,
            stderr: run.program.stderr.len() as u64,
            cell: run.cell.clone(),
            stdin: None,
        };
        self.memory().execs.iter().map(status).collect()
    }

    fn collect(&self, root: Root, within: &str, globs: &[String]) -> Vec<(String, bool, Vec<u8>)> {
        let memory = self.memory();
        let beneath = |path: &str| match globs {
            [] => (path == within).then(|| path.to_owned()),
            _ if within.is_empty() => Some(path.to_owned()),
            _ => path.strip_prefix(within)?.strip_prefix('/').map(str::to_owned),
        };
        let wanted = |((at, path), (executable, data)): (&(u8, String), &(bool, Vec<u8>))| {
            let path = (*at == root as u8).then(|| beneath(path))??;
            Some((path, *executable, data.clone()))
        };
        memory.files.iter().filter_map(wanted).collect()
    }
}

async fn run(
    program: Program,
    mut signaled: mpsc::UnboundedReceiver<i32>,
    ended: watch::Sender<Option<Exited>>,
) {
    let fatal = async {
        loop {
            match signaled.recv().await {
                Some(15) if program.ignores_term => {}
                Some(signal) => return signal,
                None => std::future::pending().await,
            }
        }
    };
    let end = tokio::select! {
        () = tokio::time::sleep(program.runs_for) => program.end.clone(),
        signal = fatal => End::Signal(signal),
    };
    ended.send_replace(Some(Exited {
        stdout_bytes: program.stdout.len() as u64,
        stderr_bytes: program.stderr.len() as u64,
        disk_full: program.disk_full,
        artifacts: program.leaves.iter().any(|(root, ..)| *root == Root::Job),
        ..Exited::bare(end)
    }));
}

/// Serves one link until the host hangs up or the sandbox dies.
pub(super) async fn serve(
    agent: Arc<Agent>,
    stream: DuplexStream,
    mut alive: watch::Receiver<bool>,
) {
    tokio::select! {
        _ = alive.wait_for(|alive| !alive) => {}
        _ = converse(agent, stream) => {}
    }
}

async fn converse(agent: Arc<Agent>, stream: DuplexStream) -> Option<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (say, mut said) = mpsc::channel::<FromAgent>(64);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Some(message) = said.recv().await {
            let Ok(frame) = encode(&message) else { return };
            if writer.write_all(&frame).await.is_err() {
                return;
            }
        }
    });
    let (execs, kernels, terminals) = (agent.statuses(), Vec::new(), Vec::new());
    let (version, landlock) = (VERSION, Landlock::Off);
    let hello = FromAgent::Hello { version, execs, kernels, terminals, landlock };
    let mut unread = 0;
    say.send(hello).await.ok()?;
    loop {
        let mut head = [0; 4];
        reader.read_exact(&mut head).await.ok()?;
        let mut body = vec![0; frame_length(head).ok()?];
        reader.read_exact(&mut body).await.ok()?;
        match decode(&body).ok()? {
            ToAgent::Welcome { resume, .. } => {
                for resume in resume {
                    tasks.spawn(report(Arc::clone(&agent), resume.exec, say.clone()));
                }
            }
            ToAgent::Start { exec, command } => {
                agent.start(exec, &command, None);
                say.send(FromAgent::Started { exec }).await.ok()?;
                tasks.spawn(report(Arc::clone(&agent), exec, say.clone()));
            }
            ToAgent::Signal { exec, signal } => agent.signal(exec, signal),
            ToAgent::Forget { exec } => agent.forget(exec),
            ToAgent::Put { request, root, path, executable, data, last } => {
                agent.put(root, path, executable, data);
                if last {
                    let outcome = Ok(Truncation::Whole);
                    say.send(FromAgent::Done { request, outcome }).await.ok()?;
                }
            }
            ToAgent::Collect { request, root, within, globs, .. } => {
                let spoiled = agent.memory().spoiled.clone();
                match spoiled {
                    None => {}
                    Some(Spoiled::Deadly) => return None,
                    Some(Spoiled::With(error)) => {
                        let outcome = Err(error);
                        say.send(FromAgent::Done { request, outcome }).await.ok()?;
                        continue;
                    }
                }
                let files = agent.collect(root, &within, &globs);
                let missing = globs.is_empty() && files.is_empty();
                for (path, executable, data) in files {
                    let piece = FromAgent::File { request, path, executable, data, last: true };
                    say.send(piece).await.ok()?;
                }
                let outcome =
                    if missing { Err(FileError::NotFound) } else { Ok(Truncation::Whole) };
                say.send(FromAgent::Done { request, outcome }).await.ok()?;
            }
            // No program reads: once there is too much for it, there always is.
            ToAgent::Ping if unread >= MOST_UNREAD => {}
            ToAgent::Ping => say.send(FromAgent::Pong).await.ok()?,
            ToAgent::Stdin { data, .. } => unread += data.len(),
            ToAgent::Files { request, .. } => {
                let news = FileNews::Done(Err(FileFault::NotFound));
                say.send(FromAgent::Files { request, news }).await.ok()?;
            }
            ToAgent::Kernels(ToKernels::Cell { exec, cell }) => {
                agent.start(exec, &command_of(&cell), Some(cell.name));
                tasks.spawn(report(Arc::clone(&agent), exec, say.clone()));
            }
            ToAgent::Kernels(ToKernels::Start { .. } | ToKernels::End { .. }) => {}
            ToAgent::StdinEnd { .. } | ToAgent::Terminals(_) => {}
        }
    }
}

fn command_of(cell: &Cell) -> Command {
    Command {
        argv: vec!["cell".to_owned(), cell.kernel.clone(), cell.code.clone()],
        env: cell.env.clone(),
        cwd: String::new(),
        stdin: false,
        output_bytes: cell.output_bytes,
        flood_bytes: cell.flood_bytes,
        sole: false,
        backstop_ms: cell.backstop_ms,
    }
}

/// Tells a command's output from its start, and its end when it comes.
async fn report(agent: Arc<Agent>, exec: ExecId, say: mpsc::Sender<FromAgent>) {
    let Some((program, mut exited)) =
        agent.memory().execs.get(&exec).map(|run| (run.program.clone(), run.exited.clone()))
    else {
        return;
    };
    for (stream, data) in [(Stream::Stdout, program.stdout), (Stream::Stderr, program.stderr)] {
        if !data.is_empty() {
            let _gone = say.send(FromAgent::Output { exec, stream, offset: 0, data }).await;
        }
    }
    let ended = exited.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
    if let Some(exited) = ended {
        let _gone = say.send(FromAgent::Exited { exec, exited }).await;
    }
}
