//! One HTTP/2 connection. Each of its requests is made one of HTTP/1.1 before anybody judges it, so
//! that there is one set of rules for what a request may be.

mod unread;

use crate::{
    Answer, Dialect, Handler, Received, RelayError, ServeLimits,
    answer::refusal,
    request::{self, Forms, Refusal},
    serve::{LINGER, LINGER_BYTES},
    socket::Socket,
    wire::Wire,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Uri, Version,
    body::Incoming,
    header::{HOST, HeaderValue},
    http::{request::Parts, uri::PathAndQuery},
    rt::Executor,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Requests at a time on one connection; a client opens another one beyond it.
const STREAMS: u32 = 100;
/// What a client may send of a body before somebody reads it, per request and per connection. All of it may lie in
/// memory, for each connection that one client has.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// What of an answer waits for a client to take it, per request.
const SEND_BUFFER: usize = 64 << 10;

pub(super) async fn serve(
    socket: &Socket,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    (handler, places): (Arc<impl Handler>, Arc<Semaphore>),
    limits: ServeLimits,
    drain: CancellationToken,
) {
    let streams = Streams { tasks: Arc::default(), unread: limits.unread };
    let service = service_fn(|request| {
        // What they hold does not hold them: a connection that is cut takes them along.
        let (handler, streams) = (Arc::clone(&handler), Arc::downgrade(&streams.tasks));
        let places = Arc::clone(&places);
        async move {
            let place = places.acquire_owned().await.ok();
            let answer = answer(&*handler, request, streams).await;
            Ok::<_, Infallible>(unread::watched(answer, place))
        }
    });
    let mut served = pin!(
        http2::Builder::new(streams.clone())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .serve_connection(TokioIo::new(Wire::new(stream, limits.unread)), service)
    );
    let mut drained = pin!(drain.cancelled());
    let mut gone = pin!(socket.gone());
    let mut drains = false;
    loop {
        tokio::select! {
            biased;
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                break;
            }
            () = gone.as_mut() => break,
            () = drained.as_mut(), if !drains => {
                drains = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
    // Whatever still answers has nobody to answer to.
    streams.lock().abort_all();
}

async fn answer(
    handler: &impl Handler,
    request: Request<Incoming>,
    streams: Weak<Mutex<JoinSet<()>>>,
) -> Answer {
    let (mut head, body) = request.into_parts();
    // Dropped before its end, the stream is reset, and some clients take that for the answer.
    let body = Received::or_else(body, move |rest| read_on(&streams, rest));
    let dialect = Dialect::of(head.uri.path());
    match translate(&mut head).and_then(|()| request::check(&head, Forms::Own)) {
        Ok(()) => handler.handle(Request::from_parts(head, body)).await,
        Err(refused) => refusal(dialect, &RelayError::Refused(refused)),
    }
}

/// Reads a body and forgets it, for a while.
fn read_on(streams: &Weak<Mutex<JoinSet<()>>>, mut body: Incoming) {
    let reading = async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    let Some(streams) = streams.upgrade() else { return };
    // Somebody who holds it ends the streams.
    if let Ok(mut streams) = streams.try_lock() {
        streams.spawn(async {
            let _in_time = timeout(LINGER, reading).await;
        });
    }
}

/// To the head that the same request has in HTTP/1.1.
fn translate(head: &mut Parts) -> Result<(), Refusal> {
    let uri = std::mem::take(&mut head.uri).into_parts();
    if uri.scheme.is_some_and(|scheme| scheme.as_str() != "https") {
        return Err(Refusal::Target);
    }
    if let Some(authority) = uri.authority {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)?;
        // Who says it twice must say the same.
        if head.headers.get_all(HOST).iter().any(|other| other != host) {
            return Err(Refusal::Host);
        }
        head.headers.insert(HOST, host);
    }
    let target = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("*"));
    head.uri = Uri::from(target);
    head.version = Version::HTTP_11;
    Ok(())
}

/// The requests of one connection: each runs in a task that ends with it.
#[derive(Clone)]
struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
    unread: Duration,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let mut streams = self.lock();
        while streams.try_join_next().is_some() {}
        streams.spawn(unread::bounded(stream, self.unread));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnswerBody, socket::Plain};
    use http_body_util::Empty;
    use hyper::{
        body::{Body, Frame},
        client,
    };
    use hyper_util::rt::TokioExecutor;
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };
    use tokio::{net::UnixStream, sync::mpsc};

    fn translated(uri: &str, hosts: &[&str]) -> Result<(String, String), Refusal> {
        let mut request = Request::builder().version(Version::HTTP_2).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        translate(&mut head)?;
        request::check(&head, Forms::Own)?;
        let host = head.headers[HOST].to_str().unwrap().to_owned();
        Ok((head.uri.to_string(), host))
    }

    /// Says more than any client lets it, and notes when it is dropped.
    struct Talks(mpsc::Sender<()>);

    struct Endless(Option<mpsc::Sender<()>>);

    impl Handler for Talks {
        async fn handle(&self, _: Request<Received>) -> Answer {
            Answer::new(AnswerBody::Other(Endless(Some(self.0.clone())).boxed_unsync()))
        }
    }

    impl Body for Endless {
        type Data = Bytes;
        type Error = RelayError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'a'; 1024])))))
        }
    }

    impl Drop for Endless {
        fn drop(&mut self) {
            let _one_is_enough = self.0.take().map(|left| left.try_send(()));
        }
    }

    #[tokio::test]
    async fn an_answer_without_room_is_left_and_the_others_go_on() {
        let (near, far) = UnixStream::pair().unwrap();
        let (left, mut is_left) = mpsc::channel(1);
        let limits = ServeLimits { unread: Duration::from_millis(300), ..ServeLimits::default() };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let socket = Arc::new(Socket::Unix(far));
            let stream = Plain(Arc::clone(&socket));
            let handler = (Arc::new(Talks(left)), Arc::new(Semaphore::new(2)));
            serve(&socket, stream, handler, limits, CancellationToken::new()).await;
        });
        let runtime = TokioExecutor::new();
        let (mut client, connection) =
            client::conn::http2::handshake(runtime, TokioIo::new(near)).await.unwrap();
        tasks.spawn(async { drop(connection.await) });
        let asked = |path: &str| {
            let uri = format!("https://inference.local{path}");
            Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
        };
        // Nobody reads this one.
        let unread = client.send_request(asked("/unread")).await.unwrap();
        let mut read = client.send_request(asked("/read")).await.unwrap().into_body();
        let reading = async {
            while is_left.try_recv().is_err() {
                let frame = read.frame().await.expect("it goes on").expect("it goes on");
                assert!(frame.is_data());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), reading).await.expect("it is left");
        assert!(read.frame().await.unwrap().is_ok());
        drop(unread);
    }

    #[test]
    fn the_pseudo_headers_become_target_and_host() {
        let plain = Ok(("/v1/models?a=b".to_owned(), "inference.local".to_owned()));
        assert_eq!(translated("https://inference.local/v1/models?a=b", &[]), plain);
        let twice = &["inference.local"][..];
        assert_eq!(translated("https://inference.local/v1/models?a=b", twice), plain);
        assert_eq!(translated("/v1/models?a=b", twice), plain);
    }

    #[test]
    fn what_is_two_things_or_none_is_refused() {
        for (uri, hosts, refusal) in [
            ("http://inference.local/", &[][..], Refusal::Target),
            ("https://inference.local/", &["elsewhere"][..], Refusal::Host),
            ("https://inference.local/", &["inference.local", "elsewhere"][..], Refusal::Host),
            ("https://user@inference.local/", &[][..], Refusal::Host),
            ("/", &[][..], Refusal::Host),
            ("/", &["a", "a"][..], Refusal::Host),
            ("*", &["inference.local"][..], Refusal::Target),
            ("https://inference.local/%00", &[][..], Refusal::Path),
        ] {
            assert_eq!(translated(uri, hosts), Err(refusal), "{uri} {hosts:?}");
        }
    }
}
