//! An upstream's bytes: the first says what was asked and where the answer is split, the rest is the answer.
//!
//! An answer that was cut never ends as a complete one, and it does not matter how its bytes were cut into reads.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, StatusCode};
use relay::{Dialect, Location, RequestBody, Timeouts, Upstream};
use std::cell::RefCell;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    runtime::{Builder, Runtime},
    task::yield_now,
};

/// Enough for the other side to see what was written, in a runtime of one thread.
const YIELDS: usize = 8;

pub(crate) fn check(data: &[u8]) {
    let Some((split, answer)) = data.split_first() else { return };
    let whole = World::relayed(answer, answer.len());
    let cut = World::relayed(answer, usize::from(*split).min(answer.len()));
    assert_eq!(whole, cut);
    let Some((status, body)) = whole else { return };
    assert!(!status.is_informational());
    let redirects = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
    assert!(!redirects, "{status}");
    if let Some((length, sent)) = simple_reading(answer)
        && status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
    {
        assert!(body.len() == length && sent.starts_with(&body), "{body:?} of {length}");
    }
}

/// The length that an answer announces and what follows its head, if it does so in the plainest of ways.
fn simple_reading(answer: &[u8]) -> Option<(usize, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    // A bare line feed ends a line too, and two of them a head, for some readers.
    if head.replace("\r\n", "").contains(['\r', '\n']) {
        return None;
    }
    let mut lines = head.split("\r\n");
    let is_plain = lines.next()?.starts_with("http/1.1 2");
    let mut lengths = lines.clone().filter_map(|line| line.strip_prefix("content-length: "));
    let (length, second) = (lengths.next()?.parse().ok()?, lengths.next());
    let coded = head.contains("transfer-encoding") || head.matches("content-length").count() > 1;
    (is_plain && second.is_none() && !coded).then_some((length, &answer[end + 4..]))
}

struct World {
    runtime: Runtime,
    listener: UnixListener,
    location: Location,
    _folder: tempfile::TempDir,
}

thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("upstream.sock");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&socket).expect("a socket")
        };
        let location = format!("unix://{}", socket.display()).parse().expect("a location");
        Self { runtime, listener, location, _folder: folder }
    }

    /// Status and body of an answer that came to its end; none for every other.
    fn relayed(answer: &[u8], split: usize) -> Option<(StatusCode, Bytes)> {
        WORLD.with_borrow_mut(|world| {
            let Self { runtime, listener, location, .. } = world.get_or_insert_with(Self::new);
            let upstream = Upstream::new(location.clone(), None, Timeouts::default());
            let (first, second) = answer.split_at(split);
            runtime.block_on(async {
                let (relayed, ()) = tokio::join!(ask(&upstream), tell(listener, first, second));
                relayed
            })
        })
    }
}

async fn ask(upstream: &Upstream) -> Option<(StatusCode, Bytes)> {
    let request = Request::post("/v1/chat/completions").body(RequestBody::whole("{}")).ok()?;
    let (head, body) = upstream.send(request, Dialect::OpenAi).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some((head.status, body))
}

async fn tell(listener: &UnixListener, first: &[u8], second: &[u8]) {
    let (mut stream, _) = listener.accept().await.expect("a call");
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        let read = stream.read_buf(&mut request).await;
        assert!(read.is_ok_and(|read| read > 0), "a request is whole");
    }
    for part in [first, second] {
        // The relay hangs up on nonsense.
        if part.is_empty() || stream.write_all(part).await.is_err() {
            continue;
        }
        for _ in 0..YIELDS {
            yield_now().await;
        }
    }
}
