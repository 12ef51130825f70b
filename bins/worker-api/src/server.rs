//! Connections in, answers out, and the drain at the end.

use crate::{
    auth::{self, Token},
    compose::Parts,
    config::Checked,
    handlers,
    logs::Log,
    metrics::HttpMetrics,
    patience::Patient,
    problem::{Answer, ApiError},
    routes::{Access, Found, find},
    shutdown::Shutdown,
};
use gate::providers::Catalog;
use hyper::{
    HeaderMap, Request,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jobs::Node;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Slow headers are an attack or a broken client.
const HEADER_WAIT: Duration = Duration::from_secs(30);
const MAX_HEADER_BYTES: usize = 64 << 10;
/// Longest request id that a caller may choose.
const MAX_REQUEST_ID: usize = 128;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that a handler may need.
pub(crate) struct Front {
    pub(crate) config: Checked,
    pub(crate) node: Node,
    pub(crate) catalog: Catalog,
    pub(crate) log: Log,
    pub(crate) metrics: HttpMetrics,
    pub(crate) readiness: handlers::Readiness,
    /// Sockets that left HTTP behind; they end with the node's drain.
    pub(crate) sockets: TaskTracker,
    token: Token,
    admin_token: Option<Token>,
}

impl Front {
    pub(crate) fn new(config: Checked, parts: Parts, log: Log) -> Self {
        let Parts { node, catalog } = parts;
        let token = Token::new(&config.token);
        let admin_token = config.admin_token.as_deref().map(Token::new);
        let metrics = HttpMetrics::new(&node);
        let readiness = handlers::Readiness::default();
        let sockets = TaskTracker::new();
        Self { config, node, catalog, log, metrics, readiness, sockets, token, admin_token }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let began = Instant::now();
        let id = request_id(&request);
        let method = request.method().clone();
        let (route, answered) = match find(&method, request.uri().path()) {
            Found::Route(route, pattern, open) => {
                let answered = match self.admit(route.access(), request.headers()) {
                    Ok(()) => handlers::handle(&self, route, &open, request).await,
                    Err(refused) => Err(refused),
                };
                (pattern, answered)
            }
            // What exists is told to those who may ask only.
            _ if !self.knows(request.headers()) => ("", Err(ApiError::Unauthenticated)),
            Found::OtherMethods(methods) => ("", Err(ApiError::Method(methods))),
            Found::Nothing => ("", Err(ApiError::NoSuchPath)),
        };
        let mut answer = answered.unwrap_or_else(ApiError::answer);
        let status = answer.status().as_u16();
        let elapsed = began.elapsed();
        self.metrics.answered(route, status, elapsed);
        tracing::debug!(request_id = %id, %method, route, status, ms = elapsed.as_millis() as u64, "answered");
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID.clone(), id);
        }
        Ok(answer)
    }
}

impl Front {
    fn admit(&self, access: Access, headers: &HeaderMap) -> Result<(), ApiError> {
        match access {
            Access::Anybody => Ok(()),
            Access::Code if self.admits_without_token(headers) => Ok(()),
            Access::Code | Access::Worker if self.token.admits(headers) => Ok(()),
            Access::Code | Access::Worker => Err(ApiError::Unauthenticated),
            Access::Admin => match &self.admin_token {
                Some(token) if token.admits(headers) => Ok(()),
                // Who runs jobs does not say where they may send what they think.
                Some(_) if self.token.admits(headers) => Err(ApiError::NotAdmin),
                Some(_) => Err(ApiError::Unauthenticated),
                None => Err(ApiError::NoAdmin),
            },
        }
    }

    /// Whether the caller holds any token of this node.
    fn knows(&self, headers: &HeaderMap) -> bool {
        let admin = self.admin_token.as_ref().is_some_and(|token| token.admits(headers));
        admin || self.token.admits(headers)
    }

    /// The operator asked for it, and the caller is a program on this host.
    fn admits_without_token(&self, headers: &HeaderMap) -> bool {
        self.config.sessions.sessions_without_token && auth::is_local_program(headers)
    }
}

/// The caller's name for the request if it is a sane one, else ours.
fn request_id(request: &Request<Incoming>) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let sane = |id: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(allowed)
    };
    given.filter(sane).map_or_else(draw, str::to_owned)
}

fn draw() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is only less telling.
    let _zeros = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn serve(
    front: Arc<Front>,
    listener: TcpListener,
    shutdown: Shutdown,
    heard: impl Future<Output = ()> + Send + 'static,
) {
    let places = Arc::new(Semaphore::new(front.config.listen.max_connections));
    let patience = Duration::from_secs(front.config.listen.write_wait_seconds.max(1));
    let closing = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut signals = JoinSet::new();
    signals.spawn(heard);
    loop {
        let place = tokio::select! {
            () = shutdown.drain.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = shutdown.drain.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: others must end before it makes sense to go on.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers must not wait for a larger one to share a packet with.
        let _best_effort = stream.set_nodelay(true);
        let service = {
            let front = Arc::clone(&front);
            service_fn(move |request| Arc::clone(&front).answer(request))
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(Patient::new(stream, patience)), service)
            .with_upgrades();
        let closing = closing.clone();
        connections.spawn(async move {
            let _place = place;
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    drain(&front, closing, connections, &shutdown).await;
}

/// Lets jobs end within their grace while their callers wait, then lets go of both.
async fn drain(
    front: &Front,
    closing: CancellationToken,
    mut connections: JoinSet<()>,
    shutdown: &Shutdown,
) {
    tracing::info!("draining");
    let grace = Duration::from_secs(front.config.listen.drain_seconds);
    let orderly = async {
        // Callers of jobs that were let go of get their answer from this, so it comes first.
        front.node.drain(grace).await;
        closing.cancel();
        front.sockets.close();
        let farewell = async {
            while connections.join_next().await.is_some() {}
            front.sockets.wait().await;
        };
        if tokio::time::timeout(Duration::from_secs(2), farewell).await.is_err() {
            tracing::info!("connections are cut");
        }
    };
    tokio::select! {
        () = orderly => {}
        () = shutdown.abort.cancelled() => {
            tracing::warn!("stopped waiting: running jobs are left to the next start");
            front.node.drain(Duration::ZERO).await;
        }
    }
    connections.shutdown().await;
}
