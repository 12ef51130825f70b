//! The host's end of a link: one reader and one writer task, and a table that says who waits for
//! which command's or file request's frames.
//!
//! The peer shares its user with hostile code. So every frame is bounded before it is read, output
//! must continue where it stopped and end at its cap, a command ends once, and the first breach
//! ends the link: whoever waits then sees its channel close.

mod call;
mod routes;
mod terminals;

use crate::LinkError;
pub(crate) use call::Call;
use contracts::landlock::Landlock;
use contracts::link::{
    Command, ExecId, ExecStatus, FromAgent, RequestId, Resume, ToAgent, VERSION, decode, encode,
    files::FileOrder,
    frame_length,
    kernel::{Cell, MAX_DISPLAY_BYTES, MAX_KERNELS, MAX_NAME_BYTES, ToKernels},
    terminal::TerminalStatus,
};
pub use routes::ExecEvent;
pub(crate) use routes::FileEvent;
use routes::{Caps, Routes};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
pub use terminals::TerminalEvent;
use terminals::TerminalRoutes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Frames that may wait for the writer. Small: a caller that feeds a slow agent waits with it.
const OUTBOX_FRAMES: usize = 32;

/// The largest output that an adopted command may deliver: its own cap is not known to a node that
/// did not start it in this life, but it was at most this.
const ADOPTED_BYTES: Caps = {
    let output = contracts::limits::Limits::MAXIMUM.output_bytes;
    [output, output, MAX_DISPLAY_BYTES]
};

pub(crate) struct Link {
    outbox: mpsc::Sender<ToAgent>,
    /// Calls whose caller went away: said without waiting, so there is always room.
    ended: mpsc::UnboundedSender<RequestId>,
    routes: Arc<Mutex<Routes>>,
    /// Its sender goes with the reader.
    read: watch::Receiver<()>,
    tasks: Mutex<JoinSet<()>>,
}

/// What `Link::open` found on the other side, of an earlier life of the host.
pub(crate) struct Adopted {
    pub(crate) execs: HashMap<ExecId, (ExecStatus, mpsc::Receiver<ExecEvent>)>,
    pub(crate) kernels: Vec<String>,
    pub(crate) terminals: Vec<(TerminalStatus, mpsc::Receiver<TerminalEvent>)>,
    pub(crate) landlock: Landlock,
}

impl Link {
    /// Shakes hands over a stream whose peer was verified, and starts relaying.
    pub(crate) async fn open<S>(stream: S) -> Result<(Self, Adopted), LinkError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut reader = BufReader::with_capacity(128 << 10, reader);
        let hello = read_frame(&mut reader).await?;
        let FromAgent::Hello { version, execs, kernels, terminals, landlock } = hello else {
            return Err(LinkError::Protocol("it did not begin with hello"));
        };
        if version != VERSION {
            return Err(LinkError::Version { theirs: version, ours: VERSION });
        }
        let names = kernels.iter().chain(execs.iter().filter_map(|status| status.cell.as_ref()));
        if kernels.len() > MAX_KERNELS || names.into_iter().any(|name| name.len() > MAX_NAME_BYTES)
        {
            return Err(LinkError::Protocol("it has too many kernels, or names that are too long"));
        }
        let mut routes = Routes::default();
        let mut adopted =
            Adopted { execs: HashMap::new(), kernels, terminals: Vec::new(), landlock };
        let mut resume = Vec::new();
        for status in execs {
            let receiver = routes.expect_exec(status.exec, ADOPTED_BYTES)?;
            resume.push(Resume { exec: status.exec, stdout: 0, stderr: 0, display: 0 });
            adopted.execs.insert(status.exec, (status, receiver));
        }
        for status in terminals {
            let receiver = routes.terminals.expect(&status)?;
            adopted.terminals.push((status, receiver));
        }
        let welcome = encode(&ToAgent::Welcome { version: VERSION, resume })?;
        writer.write_all(&welcome).await?;

        let (outbox, inbox) = mpsc::channel(OUTBOX_FRAMES);
        let (ended, ended_inbox) = mpsc::unbounded_channel();
        let routes = Arc::new(Mutex::new(routes));
        let (reads, read) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(write_all(writer, inbox, ended_inbox));
        let reading = read_all(reader, Arc::clone(&routes));
        tasks.spawn(async move {
            reading.await;
            drop(reads);
        });
        Ok((Self { outbox, ended, routes, read, tasks: Mutex::new(tasks) }, adopted))
    }

    pub(crate) async fn send(&self, message: ToAgent) -> Result<(), LinkError> {
        self.outbox.send(message).await.map_err(|_| LinkError::Lost)
    }

    /// Starts a command; its events come by the receiver, which closes when the link is lost.
    pub(crate) async fn start(
        &self,
        command: Command,
    ) -> Result<(ExecId, mpsc::Receiver<ExecEvent>), LinkError> {
        let output = command.output_bytes;
        let (exec, receiver) = self.routes().new_exec([output, output, 0])?;
        self.send(ToAgent::Start { exec, command }).await?;
        Ok((exec, receiver))
    }

    /// Starts a cell, which is a command to whoever waits for it.
    pub(crate) async fn start_cell(
        &self,
        cell: Cell,
    ) -> Result<(ExecId, mpsc::Receiver<ExecEvent>), LinkError> {
        let output = cell.output_bytes;
        let caps = [output, output, cell.display_bytes];
        let (exec, receiver) = self.routes().new_exec(caps)?;
        self.send(ToAgent::Kernels(ToKernels::Cell { exec, cell })).await?;
        Ok((exec, receiver))
    }

    pub(crate) fn new_request(
        &self,
        max_bytes: u64,
    ) -> Result<(RequestId, mpsc::Receiver<FileEvent>), LinkError> {
        self.routes().new_request(max_bytes)
    }

    /// Begins a call about files; none when there are as many as there may be.
    pub(crate) async fn call(&self, order: FileOrder) -> Result<Option<Call>, LinkError> {
        let Some((request, news)) = self.routes().new_call()? else { return Ok(None) };
        let (outbox, ended) = (self.outbox.clone(), self.ended.clone());
        let call = Call::new(request, news, outbox, ended, Arc::clone(&self.routes));
        call.send(order).await?;
        Ok(Some(call))
    }

    pub(crate) async fn ping(&self) -> Result<(), LinkError> {
        let pong = self.routes().expect_pong()?;
        self.send(ToAgent::Ping).await?;
        pong.await.map_err(|_| LinkError::Lost)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.routes().is_lost()
    }

    /// One change of what is known of the terminals.
    pub(crate) fn with_terminals<T>(&self, change: impl FnOnce(&mut TerminalRoutes) -> T) -> T {
        change(&mut self.routes().terminals)
    }

    /// Returns when the link is lost.
    pub(crate) async fn lost(&self) {
        // Nothing is ever sent: what it waits for is the sender's end.
        let _gone = self.read.clone().changed().await;
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        lock(&self.routes)
    }

    /// Ends both tasks and waits for them.
    pub(crate) async fn close(&self) {
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        self.routes().lose();
    }
}

/// A panic while the table was held leaves it usable: each change of it is one insert or remove.
fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R) -> Result<FromAgent, LinkError> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await?;
    let mut body = vec![0; frame_length(head)?];
    reader.read_exact(&mut body).await?;
    Ok(decode(&body)?)
}

async fn read_all<R: AsyncRead + Unpin>(mut reader: R, routes: Arc<Mutex<Routes>>) {
    let ended = loop {
        let message = match read_frame(&mut reader).await {
            Ok(message) => message,
            Err(error) => break error,
        };
        let delivery = lock(&routes).route(message);
        match delivery {
            Ok(Some(delivery)) => delivery.hand_over().await,
            Ok(None) => {}
            Err(error) => break error,
        }
    };
    match ended {
        LinkError::Io(_) => tracing::debug!("the link ended"),
        breach => tracing::warn!(error = %breach, "the link was cut"),
    }
    lock(&routes).lose();
}

async fn write_all<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut inbox: mpsc::Receiver<ToAgent>,
    mut ended: mpsc::UnboundedReceiver<RequestId>,
) {
    loop {
        // In this order: what a call has sent goes out before its end.
        let message = tokio::select! {
            biased;
            message = inbox.recv() => message,
            Some(request) = ended.recv() => {
                Some(ToAgent::Files { request, order: FileOrder::Close })
            }
        };
        let Some(message) = message else { return };
        let mut bytes = match encode(&message) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a message was too large for the link");
                continue;
            }
        };
        // What waits already goes out in the same write: one wake-up of the agent instead of two.
        while bytes.len() < contracts::link::MAX_CHUNK_BYTES {
            let Ok(next) = inbox.try_recv() else { break };
            match encode(&next) {
                Ok(frame) => bytes.extend_from_slice(&frame),
                Err(error) => tracing::error!(%error, "a message was too large for the link"),
            }
        }
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
