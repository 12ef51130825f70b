//! A client's bytes on a connection to a relay: the first byte says where they are split, the rest is sent.
//!
//! Whatever reaches the handler is what a strict and simple reader finds in the same bytes too: nobody smuggles a
//! request past one of them. And it does not depend on how the bytes were cut.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use relay::{Answer, AnswerBody, Handler, Listener, Received, ServeLimits, serve};
use std::{
    cell::RefCell,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    runtime::{Builder, Runtime},
    task::yield_now,
};
use tokio_util::sync::CancellationToken;

/// Enough for the other side to see what was written, in a runtime of one thread.
const YIELDS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    method: String,
    target: String,
    body: Bytes,
}

pub(crate) fn check(data: &[u8]) {
    let Some((split, bytes)) = data.split_first() else { return };
    let expected = simple_reading(bytes);
    let whole = World::handled(bytes, bytes.len());
    assert_follows(&whole, &expected);
    let split = World::handled(bytes, usize::from(*split).min(bytes.len()));
    assert_follows(&split, &expected);
    let both = whole.len().min(split.len());
    assert_eq!(whole[..both], split[..both]);
}

/// A chunked body is the last thing on its connection, so its bytes need no second opinion.
fn assert_follows(handled: &[Call], expected: &[(Call, bool)]) {
    assert!(handled.len() <= expected.len(), "{handled:?} beside {expected:?}");
    for (call, (expected, is_chunked)) in handled.iter().zip(expected) {
        assert_eq!((&call.method, &call.target), (&expected.method, &expected.target));
        assert!(*is_chunked || call.body == expected.body, "{call:?} beside {expected:?}");
    }
}

/// Requests up to the first thing that is unusual, and whether their bodies are chunked.
fn simple_reading(mut bytes: &[u8]) -> Vec<(Call, bool)> {
    let mut found = Vec::new();
    loop {
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return found;
        };
        let Some((mut call, length)) = head(&bytes[..end]) else { return found };
        bytes = &bytes[end + 4..];
        let Some(length) = length else {
            found.push((call, true));
            return found;
        };
        if bytes.len() < length {
            return found;
        }
        call.body = Bytes::copy_from_slice(&bytes[..length]);
        bytes = &bytes[length..];
        found.push((call, false));
    }
}

/// A head and its body's length; no length for chunks.
fn head(head: &[u8]) -> Option<(Call, Option<usize>)> {
    let head: String = head.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let sane = !name.is_empty() && !name.contains([' ', '\t']);
        if !sane || line.contains(['\r', '\n', '\0']) {
            return None;
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_none() && value.bytes().all(|b| b.is_ascii_digit()) => {
                length = Some(value.parse().ok()?);
            }
            "transfer-encoding" if !chunked && value.eq_ignore_ascii_case("chunked") => {
                chunked = true;
            }
            "content-length" | "transfer-encoding" => return None,
            _ => {}
        }
    }
    let plain = words.next().is_none() && version == "HTTP/1.1" && !(chunked && length.is_some());
    let target = target.split('#').next().unwrap_or_default();
    // Bytes again, which in a target may be text.
    let target: Vec<u8> = target.chars().filter_map(|c| u8::try_from(c).ok()).collect();
    let target = String::from_utf8(target).ok()?;
    let call = Call { method: method.to_owned(), target, body: Bytes::new() };
    plain.then_some((call, if chunked { None } else { Some(length.unwrap_or(0)) }))
}

/// Notes what comes, and answers without an end of the connection.
#[derive(Default)]
struct Recorder(Mutex<Vec<Call>>);

impl Handler for Recorder {
    async fn handle(&self, request: Request<Received>) -> Answer {
        let (head, body) = request.into_parts();
        if let Ok(body) = body.collect().await {
            let target = head.uri.to_string();
            let call = Call { method: head.method.to_string(), target, body: body.to_bytes() };
            self.0.lock().expect("one thread").push(call);
        }
        let answer = Full::new(Bytes::from_static(b"ok")).map_err(|never| match never {});
        Response::new(AnswerBody::Other(answer.boxed_unsync()))
    }
}

/// A relay that lives as long as the thread: to start one takes longer than what is checked.
struct World {
    runtime: Runtime,
    served: Pin<Box<dyn Future<Output = ()>>>,
    recorder: Arc<Recorder>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

thread_local!(static WORLD: RefCell<Option<World>> = const { RefCell::new(None) });

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("relay.sock");
        let recorder = Arc::<Recorder>::default();
        let listener = {
            let _inside = runtime.enter();
            Listener::Unix(UnixListener::bind(&socket).expect("a socket"))
        };
        let (limits, drain) = (ServeLimits::default(), CancellationToken::new());
        let served = Box::pin(serve(listener, Arc::clone(&recorder), limits, drain));
        Self { runtime, served, recorder, socket, _folder: folder }
    }

    fn handled(bytes: &[u8], split: usize) -> Vec<Call> {
        WORLD.with_borrow_mut(|world| {
            let Self { runtime, served, recorder, socket, .. } =
                world.get_or_insert_with(Self::new);
            recorder.0.lock().expect("one thread").clear();
            runtime.block_on(async {
                tokio::select! {
                    () = served => unreachable!("nobody told it to stop"),
                    () = talk(socket, &bytes[..split], &bytes[split..]) => {}
                }
            });
            std::mem::take(&mut *recorder.0.lock().expect("one thread"))
        })
    }
}

/// The relay may close before all is written: what it has answered by then counts.
async fn talk(socket: &PathBuf, first: &[u8], second: &[u8]) {
    let mut stream = UnixStream::connect(socket).await.expect("it listens");
    for part in [first, second] {
        if part.is_empty() || stream.write_all(part).await.is_err() {
            continue;
        }
        for _ in 0..YIELDS {
            yield_now().await;
        }
    }
    let _closed = stream.shutdown().await;
    let mut answers = Vec::new();
    let _reset = stream.read_to_end(&mut answers).await;
}
