//! The scripted upstream: a fixed chat answer, and a stream of events at a pace that the caller asks for.
//!
//! It speaks just the HTTP that the clients of this bench and the proxies in between send, so that the time of a call
//! is the proxy's and not a server's.

use super::clock;
use anyhow::Context;
use std::{net::SocketAddr, path::PathBuf, thread, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// More than any request of this bench has.
const MOST_REQUEST_BYTES: usize = 64 << 10;

const ANSWER: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":"A pinfold is a walled pen for strays, with one gate. Whoever finds a stray puts it in; whoever owns it pays and takes it out."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":31,"total_tokens":43}}"#;

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    /// The same one, as a sandbox's sidecar reaches the gate.
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl Upstream {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("upstream.sock");
        let unix = std::os::unix::net::UnixListener::bind(&socket)?;
        unix.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let unix = UnixListener::from_std(unix)?;
                let mut connections = JoinSet::new();
                let accepting = async {
                    loop {
                        while connections.try_join_next().is_some() {}
                        tokio::select! {
                            accepted = listener.accept() => {
                                let stream = accepted?.0;
                                stream.set_nodelay(true)?;
                                connections.spawn(connection(stream));
                            }
                            accepted = unix.accept() => {
                                connections.spawn(connection(accepted?.0));
                            }
                        }
                    }
                };
                tokio::select! {
                    _ = stopped => Ok(()),
                    failed = accepting => failed,
                }
            })
        });
        Ok(Self { address, socket, _folder: folder, stop, thread })
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread.join().ok().context("the upstream panicked")?
    }
}

/// Ends with the client, who may go in the middle of anything.
async fn connection(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<()> {
    let mut unread = Vec::with_capacity(4096);
    while let Some(script) = next(&mut stream, &mut unread).await? {
        match script {
            Script::Answer => {
                let length = ANSWER.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{ANSWER}"
                );
                stream.write_all(answer.as_bytes()).await?;
            }
            Script::Stream { frames, gap } => paced(&mut stream, frames, gap).await?,
        }
    }
    Ok(())
}

enum Script {
    Answer,
    Stream { frames: u64, gap: Duration },
}

/// Reads one request to its end; none at the end of the connection.
async fn next(
    stream: &mut (impl AsyncRead + Unpin),
    unread: &mut Vec<u8>,
) -> anyhow::Result<Option<Script>> {
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&unread[..end])?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context("a request without a length")?.trim().parse()?;
            let whole = end + 4 + length;
            if unread.len() >= whole {
                unread.drain(..whole);
                return script(&head).map(Some);
            }
        }
        anyhow::ensure!(unread.len() < MOST_REQUEST_BYTES, "an endless request");
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

/// `?frames=N&gap_us=M` asks for a stream.
fn script(head: &str) -> anyhow::Result<Script> {
    let target = head.split(' ').nth(1).context("a target")?;
    let Some((_, query)) = target.split_once('?') else { return Ok(Script::Answer) };
    let value = |name: &str| -> anyhow::Result<u64> {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name).context("a part of the script")?;
        Ok(found.1.parse()?)
    };
    Ok(Script::Stream { frames: value("frames")?, gap: Duration::from_micros(value("gap_us")?) })
}

/// Every frame says its number and when it was sent. The first goes with the head.
async fn paced(
    stream: &mut (impl AsyncWrite + Unpin),
    frames: u64,
    gap: Duration,
) -> anyhow::Result<()> {
    let mut out = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    let gap = gap.max(Duration::from_micros(1));
    let mut pace = interval_at(Instant::now() + gap, gap);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..frames {
        // The runtime's clock has whole milliseconds: even a tick that is due now takes one.
        if number > 0 {
            pace.tick().await;
        }
        let data = format!(
            "data: {{\"n\":{number},\"sent_ns\":{},\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" stray\"}}}}]}}\n\n",
            clock::nanos()
        );
        out += &format!("{:x}\r\n{data}\r\n", data.len());
        stream.write_all(out.as_bytes()).await?;
        out.clear();
    }
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await?;
    Ok(())
}
