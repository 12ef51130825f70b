//! A sandbox as its user sees it: commands to run, files to put and to collect, and an end.
//!
//! ```text
//!   Engine::create ──► waiting ──start──► running ──Exited──► (waiting) ──close──► removed
//!                         │                  │                               ▲
//!                         └── link lost ─────┴── kill ───────────────────────┘
//! ```
//!
//! `close` is the normal end. A sandbox that is dropped instead is left to the sweep by label, which
//! knows that nobody owns it.

mod stdin;

pub use crate::link::ExecEvent;
use crate::{
    EngineError, LinkError, TlsGate,
    files::FilesError,
    link::{Adopted, Call, FileEvent, Link},
};
use async_trait::async_trait;
use contracts::{
    SandboxId,
    landlock::Landlock,
    link::{
        Command, End, ExecId, ExecStatus, MAX_CHUNK_BYTES, RequestId, Root, ToAgent, Truncation,
        files::{FileFault, FileOrder},
        kernel::{Cell, ToKernels},
    },
    sandbox::path,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64};
pub use stdin::Fed;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
    sync::mpsc,
};

/// What stands around the agent: the wall, seen from outside.
#[async_trait]
pub trait Enclosure: Send + Sync {
    /// Where the sandbox's folders are, as code inside names them.
    fn places(&self) -> Places {
        Places::default()
    }

    /// Puts a text where code inside reads what its sandbox can do.
    async fn explain(&self, _text: &str) -> Result<(), EngineError> {
        Ok(())
    }

    /// Ends every process inside at once. Returns when the kernel has been told.
    async fn kill(&self) -> Result<(), EngineError>;

    /// Returns, with the phase for the caller, when something that the sandbox needs has ended and
    /// its own code is not to blame.
    async fn broken(&self) -> &'static str {
        std::future::pending().await
    }

    /// Whether `broken` would return by now, or is about to.
    fn is_broken(&self) -> bool {
        false
    }

    /// What the cgroup has counted. Zeros where nobody counts.
    async fn counters(&self) -> Counters;

    /// Processes inside now. 0 where nobody counts.
    async fn processes(&self) -> usize {
        0
    }

    /// Stops or resumes every process inside without their knowledge.
    async fn freeze(&self, frozen: bool) -> Result<(), EngineError>;

    /// Ends and removes all that belongs to the sandbox.
    async fn remove(&self) -> Result<(), EngineError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub workspace: String,
    pub job: String,
    pub tmp: String,
    /// The text that explains the sandbox.
    pub help: String,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            workspace: path::WORKSPACE.into(),
            job: path::JOB.into(),
            tmp: path::TMP.into(),
            help: path::HELP.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub oom_kills: u64,
    /// Now, with the files in memory that are charged to it.
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub cpu_us: u64,
}

/// A collected file, in the order in which the agent found it. The path was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedFile {
    pub path: String,
    pub executable: bool,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub files: Vec<CollectedFile>,
    /// A cap left something out.
    pub truncated: bool,
}

pub struct Sandbox {
    id: SandboxId,
    link: Link,
    enclosure: Arc<dyn Enclosure>,
    landlock: Landlock,
    adopted: Mutex<Adopted>,
    /// Where its sidecar calls, until somebody serves it.
    gate: Mutex<Option<UnixListener>>,
    /// The same, inside TLS.
    tls_gate: Mutex<Option<TlsGate>>,
    /// Standard input that went out since the agent last answered.
    unanswered: AtomicU64,
}

/// All of a command that nobody watches.
#[derive(Debug, Default)]
pub struct ReadOut {
    /// None if the link was lost before.
    pub end: Option<End>,
    /// Both streams, as they came.
    pub output: Vec<u8>,
}

/// One command in a sandbox.
pub struct Exec {
    id: ExecId,
    events: mpsc::Receiver<ExecEvent>,
}

impl Sandbox {
    /// Shakes hands with the agent behind a verified stream.
    pub async fn over<S>(
        id: SandboxId,
        stream: S,
        enclosure: Arc<dyn Enclosure>,
    ) -> Result<Self, LinkError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (link, adopted) = Link::open(stream).await?;
        let (landlock, adopted) = (adopted.landlock, Mutex::new(adopted));
        let (gate, tls_gate) = (Mutex::default(), Mutex::default());
        let unanswered = AtomicU64::new(0);
        Ok(Self { id, link, enclosure, landlock, adopted, gate, tls_gate, unanswered })
    }

    pub(crate) fn with_gates(self, gate: UnixListener, tls_gate: TlsGate) -> Self {
        Self { gate: Mutex::new(Some(gate)), tls_gate: Mutex::new(Some(tls_gate)), ..self }
    }

    /// The socket at which calls of this sandbox and of no other arrive; once.
    pub fn take_gate(&self) -> Option<UnixListener> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The other socket at which they arrive; once.
    pub fn take_tls_gate(&self) -> Option<TlsGate> {
        self.tls_gate.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn id(&self) -> &SandboxId {
        &self.id
    }

    pub fn places(&self) -> Places {
        self.enclosure.places()
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn adopted(&self) -> MutexGuard<'_, Adopted> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What its agent puts around each command.
    pub fn landlock(&self) -> Landlock {
        self.landlock
    }

    /// Replaces the text at `places().help`.
    pub async fn explain(&self, text: &str) -> Result<(), EngineError> {
        self.enclosure.explain(text).await
    }

    /// The commands of an earlier life of the node, each once. Their output comes from the start.
    pub fn adopted_execs(&self) -> Vec<(ExecStatus, Exec)> {
        let mut adopted = self.adopted();
        let exec = |(id, (status, events))| (status, Exec { id, events });
        adopted.execs.drain().map(exec).collect()
    }

    /// The kernels of an earlier life of the node, once.
    pub fn adopted_kernels(&self) -> Vec<String> {
        std::mem::take(&mut self.adopted().kernels)
    }

    pub async fn start(&self, command: Command) -> Result<Exec, LinkError> {
        let (id, events) = self.link.start(command).await?;
        Ok(Exec { id, events })
    }

    /// Starts a kernel. Whether it could be started, its first cell tells.
    pub async fn start_kernel(&self, kernel: &str, command: Command) -> Result<(), LinkError> {
        let kernel = kernel.to_owned();
        self.link.send(ToAgent::Kernels(ToKernels::Start { kernel, command })).await
    }

    /// Gives a kernel a cell to run. It must not run another one.
    pub async fn start_cell(&self, cell: Cell) -> Result<Exec, LinkError> {
        let (id, events) = self.link.start_cell(cell).await?;
        Ok(Exec { id, events })
    }

    /// Kills a kernel and what is below it.
    pub async fn end_kernel(&self, kernel: &str) -> Result<(), LinkError> {
        let kernel = kernel.to_owned();
        self.link.send(ToAgent::Kernels(ToKernels::End { kernel })).await
    }

    /// A signal to a command's whole process tree, by way of the agent.
    pub async fn signal(&self, exec: ExecId, signal: i32) -> Result<(), LinkError> {
        self.link.send(ToAgent::Signal { exec, signal }).await
    }

    /// Lets the agent drop an ended command's output.
    pub async fn forget(&self, exec: ExecId) -> Result<(), LinkError> {
        self.link.send(ToAgent::Forget { exec }).await
    }

    /// Reads a command to its end and lets the agent drop it. Its caps bound what is kept.
    pub async fn read_out(&self, mut exec: Exec) -> Result<ReadOut, LinkError> {
        let mut read = ReadOut::default();
        while let Some(event) = exec.next().await {
            match event {
                ExecEvent::Output { data, .. } => read.output.extend(data),
                ExecEvent::Exited(exited) => read.end = Some(exited.end),
                ExecEvent::Started => {}
            }
        }
        self.forget(exec.id()).await?;
        Ok(read)
    }

    /// Proves that the agent answers. While a program has much of its standard input to read, it
    /// does not.
    pub async fn ping(&self) -> Result<(), LinkError> {
        self.link.ping().await
    }

    /// Whether something beside the agent is gone, or going, that the sandbox needs.
    pub fn is_broken(&self) -> bool {
        self.enclosure.is_broken()
    }

    /// Whether the agent, or what else it needs, is known to be gone. Costs next to nothing, and
    /// proves nothing about their health.
    pub fn is_lost(&self) -> bool {
        self.link.is_lost() || self.enclosure.is_broken()
    }

    /// Returns when the agent, or what else it needs, is gone.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.link.lost() => {}
            _ = self.enclosure.broken() => {}
        }
    }

    pub(crate) async fn file_call(&self, order: FileOrder) -> Result<Call, FilesError> {
        self.link.call(order).await?.ok_or(FilesError::Fault(FileFault::TooMany))
    }

    /// Writes one file beneath its root.
    pub async fn put(
        &self,
        root: Root,
        path: &str,
        executable: bool,
        data: &[u8],
    ) -> Result<(), LinkError> {
        let (request, mut events) = self.link.new_request(0)?;
        let mut pieces = data.chunks(MAX_CHUNK_BYTES).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default();
            let last = pieces.peek().is_none();
            let message = put_piece(request, root, path, executable, piece, last);
            self.link.send(message).await?;
            if last {
                break;
            }
        }
        match events.recv().await {
            Some(FileEvent::Done(Ok(_))) => Ok(()),
            Some(FileEvent::Done(Err(error))) => Err(LinkError::File(error)),
            Some(FileEvent::Piece { .. }) => Err(LinkError::Protocol("a file came for a put")),
            None => Err(LinkError::Lost),
        }
    }

    /// Reads what the globs match beneath `root`/`within`; with no globs, the one file `within`.
    pub async fn collect(
        &self,
        root: Root,
        within: &str,
        globs: &[String],
        max_files: u32,
        max_bytes: u64,
    ) -> Result<Collected, LinkError> {
        // Room for the paths themselves beside the content that was asked for.
        let paths = u64::from(max_files) * (contracts::file::MAX_PATH_BYTES as u64 + 1);
        let (request, mut events) = self.link.new_request(max_bytes + paths)?;
        let message = ToAgent::Collect {
            request,
            root,
            within: within.to_owned(),
            globs: globs.to_vec(),
            max_files,
            max_bytes,
        };
        self.link.send(message).await?;
        let mut collected = Collected::default();
        let mut open: Option<CollectedFile> = None;
        while let Some(event) = events.recv().await {
            match event {
                FileEvent::Piece { path, executable, data, last } => {
                    let mut file = match open.take() {
                        Some(file) if file.path == path => file,
                        Some(_) => return Err(LinkError::Protocol("files are interleaved")),
                        None => new_file(&path, executable, &collected, max_files)?,
                    };
                    file.data.extend_from_slice(&data);
                    if last { collected.files.push(file) } else { open = Some(file) }
                }
                FileEvent::Done(Ok(truncation)) => {
                    collected.truncated = truncation == Truncation::LeftOut;
                    return Ok(collected);
                }
                FileEvent::Done(Err(error)) => return Err(LinkError::File(error)),
            }
        }
        Err(LinkError::Lost)
    }

    pub async fn kill(&self) -> Result<(), EngineError> {
        self.enclosure.kill().await
    }

    /// Returns when the sandbox has lost something that it can't do without; see `Enclosure`.
    pub async fn broken(&self) -> &'static str {
        self.enclosure.broken().await
    }

    pub async fn counters(&self) -> Counters {
        self.enclosure.counters().await
    }

    pub async fn processes(&self) -> usize {
        self.enclosure.processes().await
    }

    pub async fn freeze(&self, frozen: bool) -> Result<(), EngineError> {
        self.enclosure.freeze(frozen).await
    }

    /// The normal end: the link is closed, every process ends, nothing remains.
    pub async fn close(&self) -> Result<(), EngineError> {
        self.link.close().await;
        self.enclosure.remove().await
    }

    /// Lets go of the sandbox without ending it: the next life of the node adopts it.
    pub async fn leave(&self) {
        self.link.close().await;
    }
}

impl Exec {
    pub fn id(&self) -> ExecId {
        self.id
    }

    /// The next event; `None` when the link was lost before the command's end was told.
    pub async fn next(&mut self) -> Option<ExecEvent> {
        self.events.recv().await
    }
}

fn put_piece(
    request: RequestId,
    root: Root,
    path: &str,
    executable: bool,
    piece: &[u8],
    last: bool,
) -> ToAgent {
    ToAgent::Put { request, root, path: path.to_owned(), executable, data: piece.to_vec(), last }
}

/// A new file in a collection: the agent's word for its path is checked like a caller's.
fn new_file(
    path: &str,
    executable: bool,
    collected: &Collected,
    max_files: u32,
) -> Result<CollectedFile, LinkError> {
    if contracts::file::check_path(path).is_err() {
        return Err(LinkError::Protocol("a collected path leaves its folder"));
    }
    if collected.files.len() >= max_files as usize {
        return Err(LinkError::TooMuch);
    }
    Ok(CollectedFile { path: path.to_owned(), executable, data: Vec::new() })
}
