//! A tiny upstream for first runs and tests, which speaks like a model's server and is none: where
//! it listens, and when it stops.

mod answer;
mod anthropic;
mod dialect;
mod embeddings;
mod faults;
mod gzip;
mod ollama;
mod openai;
mod responses;
mod routes;
mod script;
mod service;
mod stats;

use crate::out;
use anyhow::Context;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::DevModel;
use std::{
    io,
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Time between two tries to accept while descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct DevModelOptions {
    /// Where to listen, as ADDRESS:PORT. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:11500")]
    listen: SocketAddr,
    /// Listen on this Unix socket instead.
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    socket: Option<PathBuf>,
    /// Time between two frames of a stream, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 20)]
    pace_ms: u64,
    /// Answer only calls that show this key, as a bearer token or in x-api-key.
    #[arg(long, env = "PINFOLD_DEV_MODEL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

pub(crate) async fn run(options: DevModelOptions) -> anyhow::Result<ExitCode> {
    // Heard before we say that we are ready, so that no stop is lost.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let model = Arc::new(DevModel::new(options.api_key, Duration::from_millis(options.pace_ms)));
    let door = match &options.socket {
        Some(path) => Door::unix(path).await.with_context(|| format!("listening on {path:?}"))?,
        None => Door::tcp(options.listen)
            .await
            .with_context(|| format!("listening on {}", options.listen))?,
    };
    out::line(format_args!(
        "dev-model: listening on {} (an echo for tests, not a language model)",
        door.name()?
    ))?;
    let mut calls = JoinSet::new();
    tokio::select! {
        () = door.serve(model, &mut calls) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Nothing that we say is worth waiting for.
    calls.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

enum Door {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Door {
    async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address).await?))
    }

    async fn unix(path: &Path) -> io::Result<Self> {
        // A socket that refuses is what a predecessor left that was killed.
        if let Err(error) = UnixStream::connect(path).await
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            std::fs::remove_file(path)?;
        }
        Ok(Self::Unix(UnixListener::bind(path)?, path.to_owned()))
    }

    fn name(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => format!("http://{}", listener.local_addr()?),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        })
    }

    /// Until it is dropped.
    async fn serve(&self, model: Arc<DevModel>, calls: &mut JoinSet<()>) {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    // A frame must not wait for the next to share a packet with.
                    let _best_effort = stream.set_nodelay(true);
                    calls.spawn(connection(Arc::clone(&model), stream));
                }),
                Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                    calls.spawn(connection(Arc::clone(&model), stream));
                }),
            };
            if let Err(error) = accepted {
                out::note(format_args!("dev-model: a connection could not be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            while calls.try_join_next().is_some() {}
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

async fn connection<S>(model: Arc<DevModel>, stream: S)
where
    S: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static,
{
    // Some faults are made below HTTP, so they need the socket itself.
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let socket = Arc::new(socket);
    let service = service_fn(move |request| {
        let (model, socket) = (Arc::clone(&model), Arc::clone(&socket));
        async move { model.answer(&socket, request).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // It ends by the client's will or by a fault that was asked for: neither is news.
    let _ended = connection.await;
}
