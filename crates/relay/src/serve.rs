//! Connections in, answers out, and the drain at the end.

use crate::{
    Answer, AnswerBody, Dialect, Handed, Received, RelayError, Tunnel,
    alarm::ConnectionTimer,
    answer::refusal,
    begun::Begun,
    head_guard::Seen,
    request::{self, Forms, Refusal},
    socket::{Plain, Socket},
    wire::Wire,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request,
    body::{Body, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long, and how much, a client may go on sending after it has been told that we don't read on.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
pub(crate) const LINGER_BYTES: usize = 64 << 20;
/// Between two attempts to accept, when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// Connections that somebody in the program has taken, or made.
    Handed(mpsc::Receiver<Handed>),
}

impl Accept for Listener {
    /// With what was read of it before.
    type Connection = (Arc<Socket>, Bytes);

    async fn accept(&mut self) -> io::Result<Self::Connection> {
        let socket = match self {
            Self::Tcp(listener) => Socket::tcp(listener.accept().await?)?,
            Self::Unix(listener) => Socket::Unix(listener.accept().await?),
            Self::Handed(connections) => match connections.recv().await {
                Some(Handed { stream, before }) => {
                    return Ok((Arc::new(Socket::Unix(stream)), before));
                }
                // Nobody is left who could hand one over.
                None => std::future::pending().await,
            },
        };
        Ok((Arc::new(socket), Bytes::new()))
    }
}

/// Answers a request whose head has passed `request::check`.
///
/// The future is dropped when the client goes, and with it everything that it holds.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request<Received>) -> impl Future<Output = Answer> + Send;
}

#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// More of them wait in the kernel's queue.
    pub connections: usize,
    /// For the head of a request, and for the next one on an idle connection.
    pub head: Duration,
    /// Beyond this a head is refused; up to twice as much may have been read by then.
    pub head_bytes: usize,
    /// How long a client may leave its answer unread.
    pub unread: Duration,
    /// For answers under way when the drain begins.
    pub drain: Duration,
    /// Requests in other forms are refused before anybody sees them.
    pub forms: Forms,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 256,
            // Longer than common clients keep an idle connection, so that they close it and not we.
            head: Duration::from_secs(100),
            head_bytes: 64 << 10,
            unread: Duration::from_secs(120),
            drain: Duration::from_secs(10),
            forms: Forms::Own,
        }
    }
}

/// Serves until `drain` is cancelled and then as long as answers need, within their bound.
pub async fn serve(
    listener: Listener,
    handler: Arc<impl Handler>,
    limits: ServeLimits,
    drain: CancellationToken,
) {
    let connection = |(socket, before): (Arc<Socket>, Bytes)| {
        let (handler, drain) = (Arc::clone(&handler), drain.clone());
        async move {
            let stream = Begun::new(before, Plain(Arc::clone(&socket)));
            http1(&socket, stream, handler, limits, drain).await;
        }
    };
    accept(listener, limits, &drain, connection).await;
}

/// Has `connection` see to each that comes to a socket, with the bounds that `serve` has.
pub async fn each_connection<L: Accept, F>(
    listener: L,
    limits: ServeLimits,
    drain: CancellationToken,
    connection: impl Fn(L::Connection) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    accept(listener, limits, &drain, connection).await;
}

/// Where connections come from.
pub trait Accept {
    type Connection;

    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Accept for TcpListener {
    type Connection = TcpStream;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        Ok(TcpListener::accept(self).await?.0)
    }
}

impl Accept for UnixListener {
    type Connection = UnixStream;

    async fn accept(&mut self) -> io::Result<UnixStream> {
        Ok(UnixListener::accept(self).await?.0)
    }
}

/// Has a task of its own for each connection, and a bound on how many there are.
pub(crate) async fn accept<L: Accept, F>(
    mut listener: L,
    limits: ServeLimits,
    drain: &CancellationToken,
    connection: impl Fn(L::Connection) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            () = drain.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = connection(accepted);
        connections.spawn(async move {
            let _place = place;
            served.await;
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain, ended).await.is_err() {
        tracing::info!("answers under way are cut");
    }
    connections.shutdown().await;
}

/// One connection: the socket, and the stream that is read and written on it.
pub(crate) async fn http1(
    socket: &Socket,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    handler: Arc<impl Handler>,
    limits: ServeLimits,
    drain: CancellationToken,
) {
    let seen = Arc::new(Seen::default());
    let front = Front {
        handler,
        seen: Arc::clone(&seen),
        forms: limits.forms,
        count: 0.into(),
        unread: false.into(),
        tunnel: Mutex::default(),
    };
    let wire = Wire::new(stream, limits.unread).guarded(seen);
    let service = service_fn(|request| front.answer(request));
    let mut served = pin!(
        http1::Builder::new()
            .timer(ConnectionTimer::default())
            .header_read_timeout(limits.head)
            .max_buf_size(limits.head_bytes)
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades()
    );
    let mut gone = pin!(socket.gone());
    let mut drained = pin!(drain.cancelled());
    let mut drains = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = served.as_mut() => break ended,
            // The library doesn't see this while it holds unread bytes.
            () = gone.as_mut() => return,
            () = drained.as_mut(), if !drains => {
                drains = true;
                served.as_mut().graceful_shutdown();
            }
        }
    };
    let tunnel = front.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Ok(()), Some((upgrade, tunnel))) = (&ended, tunnel) {
        if let Ok(upgraded) = upgrade.await {
            tunnel.open(TokioIo::new(upgraded)).await;
        }
        return;
    }
    match ended {
        // Closing over unread bytes would reset the connection, and the answer could be lost.
        Ok(()) if front.unread.load(Relaxed) => {
            let _in_time = timeout(LINGER, socket.linger(LINGER_BYTES)).await;
        }
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "a connection broke"),
    }
}

/// What stands between a connection and the handler.
struct Front<H> {
    handler: Arc<H>,
    seen: Arc<Seen>,
    /// Requests so far.
    count: AtomicU64,
    /// Set when an answer ends the connection with a request that was not read to its end.
    unread: AtomicBool,
    forms: Forms,
    /// What becomes of the connection once its CONNECT has been answered.
    tunnel: Mutex<Option<(OnUpgrade, Tunnel)>>,
}

impl<H: Handler> Front<H> {
    async fn answer(&self, mut request: Request<Incoming>) -> Result<Answer, Infallible> {
        let count = self.count.fetch_add(1, Relaxed) + 1;
        let has_body = !request.body().is_end_stream();
        let dialect = Dialect::of(request.uri().path());
        let upgrade = (request.method() == Method::CONNECT).then(|| upgrade::on(&mut request));
        let (head, body) = request.into_parts();
        let checked = match self.seen.vouches_for(count) {
            true => request::check(&head, self.forms),
            false => Err(Refusal::Framing),
        };
        let mut answer = match checked {
            Ok(()) => self.handler.handle(Request::from_parts(head, body.into())).await,
            Err(refused) => refusal(dialect, &RelayError::Refused(refused)),
        };
        if let (Some(upgrade), true) = (upgrade, matches!(answer.body(), AnswerBody::Tunnel(_))) {
            return Ok(self.keep_tunnel(upgrade, answer));
        }
        let whole = matches!(answer.body(), AnswerBody::Whole(_));
        let faulty = checked.is_err();
        if faulty || self.seen.is_last() || has_body && whole {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            self.unread.store(true, Relaxed);
        }
        Ok(answer)
    }

    /// The client reads that its CONNECT is granted; the connection's task finds the tunnel here.
    fn keep_tunnel(&self, upgrade: OnUpgrade, answer: Answer) -> Answer {
        let (head, body) = answer.into_parts();
        let body = match body {
            AnswerBody::Tunnel(tunnel) => {
                let mut kept = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
                *kept = Some((upgrade, tunnel));
                AnswerBody::Whole(Full::default())
            }
            other => other,
        };
        Answer::from_parts(head, body)
    }
}
