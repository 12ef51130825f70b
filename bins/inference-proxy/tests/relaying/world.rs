//! A running proxy, a client that sees every byte, and an upstream that does what a test says.

use rustix::process::{Pid, Signal, kill_process};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};

/// For whatever must happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-proxy"));
    command.env_clear().kill_on_drop(true);
    command
}

pub(crate) struct Proxy {
    pub(crate) child: Child,
    pub(crate) place: String,
    /// Where it lets TLS through, if it does.
    pub(crate) passage: Option<String>,
    /// Where it answers DNS, if it does.
    pub(crate) names: Option<String>,
    _log: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Proxy {
    /// As a pod's end does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// With short timeouts, and other settings on top.
    pub(crate) async fn start(upstream: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = command();
        command
            .env("INFERENCE_PROXY_LISTEN", "127.0.0.1:0")
            .env("OLLAMA_UPSTREAM_URL", upstream)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut passage, mut names) = (None, None);
        let place = loop {
            let line = soon("listening", log.next_line()).await.unwrap();
            let line = line.expect("the proxy ended");
            let told = |name: &str| {
                let (_, rest) = line.split_once(name)?;
                rest.split(' ').next().map(str::to_owned)
            };
            if let Some(place) = told(" place=") {
                break place;
            }
            passage = passage.or(told(" passage="));
            names = names.or(told(" names="));
        };
        Self { child, place, passage, names, _log: log }
    }

    pub(crate) async fn client(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(&self.place).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Message {
        let mut client = self.client().await;
        client.send(request).await;
        client.message().await
    }
}

pub(crate) struct Upstream(TcpListener);

impl Upstream {
    pub(crate) async fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(soon("a call", self.0.accept()).await.unwrap().0)
    }

    /// The next connection with its first request read.
    pub(crate) async fn call(&self) -> (Peer<TcpStream>, Message) {
        let mut peer = self.accept().await;
        let request = peer.message().await;
        (peer, request)
    }

    pub(crate) async fn nobody_calls(&self) -> bool {
        timeout(Duration::from_millis(100), self.0.accept()).await.is_err()
    }
}

/// A request or an answer as it was on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// It ended as its framing says.
    pub(crate) complete: bool,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// One end of a connection, with what was read and not yet used.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    unused: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unused: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn chunk(&mut self, bytes: &[u8]) {
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        self.send(chunk).await;
    }

    /// False at the end, and at a reset.
    async fn more(&mut self) -> bool {
        let read = soon("a read", self.stream.read_buf(&mut self.unused)).await;
        read.is_ok_and(|read| read > 0)
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.unused.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.unused.drain(..length).collect())
    }

    async fn take_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.unused.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.take(at + end.len()).await;
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn head(&mut self) -> String {
        let head = self.take_until(b"\r\n\r\n").await.unwrap_or_default();
        String::from_utf8(head).unwrap()
    }

    /// The data of the next chunk; none at the end of a body that was complete.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, ()> {
        let line = self.take_until(b"\r\n").await.ok_or(())?;
        let size = std::str::from_utf8(&line).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let mut data = self.take(size + 2).await.ok_or(())?;
        data.truncate(size);
        Ok((size > 0).then_some(data))
    }

    pub(crate) async fn message(&mut self) -> Message {
        let head = self.head().await;
        let complete = !head.is_empty();
        let mut message = Message { head, body: Vec::new(), complete };
        if message.header("transfer-encoding").is_some() {
            loop {
                match self.next_chunk().await {
                    Ok(Some(data)) => message.body.extend(data),
                    Ok(None) => break,
                    Err(()) => {
                        message.complete = false;
                        break;
                    }
                }
            }
        } else if let Some(length) = message.header("content-length") {
            let length: usize = length.parse().unwrap();
            match self.take(length).await {
                Some(body) => message.body = body,
                None => {
                    message.complete = false;
                    message.body = std::mem::take(&mut self.unused);
                }
            }
        }
        message
    }

    /// Waits until the other end has closed, or reset.
    pub(crate) async fn closed(&mut self) {
        while self.more().await {}
    }
}

pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}")
}

pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
pub(crate) const LINES_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
