//! A terminal through a WebSocket: its bytes in binary frames, what is said about it in text frames.
//!
//! Each direction has one frame under way. Who reads slowly is not read ahead for, and who types
//! faster than the program takes it is not read from.

use crate::{
    problem::{Answer, ApiError},
    server::Front,
};
use contracts::terminal::TerminalNote;
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONNECTION, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use jobs::{Attachment, JobError, TerminalNews};
use std::{sync::Arc, time::Duration};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// Largest frame and message of a client's: a paste comes in several.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// Heartbeats that may go unanswered.
const MISSED: u32 = 3;

/// What a farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A client's wish for a WebSocket, as it has to be.
pub(crate) struct Handshake {
    accept: HeaderValue,
}

impl Handshake {
    /// `None` when none is wished for.
    pub(crate) fn of<B>(request: &Request<B>) -> Result<Option<Self>, ApiError> {
        let headers = request.headers();
        if !names(headers, UPGRADE.as_str(), "websocket") {
            return Ok(None);
        }
        // A browser lets any page open a socket to any host. None has to do with this API.
        if headers.contains_key(ORIGIN) {
            return Err(ApiError::OfAPage);
        }
        let malformed = |what: &str| ApiError::Malformed(format!("not a WebSocket: {what}"));
        if !names(headers, CONNECTION.as_str(), "upgrade") {
            return Err(malformed("Connection must be upgrade"));
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(malformed("Sec-WebSocket-Version must be 13"));
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let key = key.ok_or_else(|| malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        Ok(Some(Self { accept: accept.map_err(|_| ApiError::Internal("handshake"))? }))
    }
}

fn names(headers: &HeaderMap, header: &str, word: &str) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// Answers the wish; the socket itself is served by a task of the front's.
pub(crate) fn serve(
    front: &Arc<Front>,
    handshake: Handshake,
    mut request: Request<Incoming>,
    attachment: Attachment,
    ends_with_socket: bool,
) -> Answer {
    let upgrade = hyper::upgrade::on(&mut request);
    let heartbeat = Duration::from_secs(front.config.listen.heartbeat_seconds.max(1));
    front.sockets.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => talk(upgraded, &attachment, heartbeat).await,
            Err(error) => tracing::debug!(%error, "a socket did not come about"),
        }
        if ends_with_socket && let Err(error) = attachment.end().await {
            tracing::debug!(error = %jobs::chain(&error), "a terminal was gone before its end");
        }
    });
    let mut answer: Answer =
        Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, handshake.accept);
    answer
}

async fn talk(upgraded: Upgraded, attachment: &Attachment, heartbeat: Duration) {
    let config = WebSocketConfig::default()
        .max_frame_size(Some(MAX_FRAME_BYTES))
        .max_message_size(Some(MAX_FRAME_BYTES))
        .read_buffer_size(MAX_FRAME_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_FRAME_BYTES);
    let io = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (mut sink, mut stream) = socket.split();
    let close = tokio::select! {
        close = tell(&mut sink, attachment, heartbeat) => close,
        close = hear(&mut stream, attachment, heartbeat * MISSED) => close,
    };
    if let Some((code, reason)) = close {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let farewell = sink.send(Message::Close(Some(frame)));
        // Who does not take it has gone before us.
        let _gone = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

/// How the talk ends, unless the client is gone anyway.
type Close = Option<(CloseCode, &'static str)>;

async fn tell(
    sink: &mut SplitSink<Socket, Message>,
    attachment: &Attachment,
    heartbeat: Duration,
) -> Close {
    let first = TerminalNote::Terminal { id: attachment.id().clone(), from: attachment.from() };
    sink.send(note(&first)).await.ok()?;
    loop {
        let message = match tokio::time::timeout(heartbeat, attachment.next()).await {
            Err(_) => Message::Ping(Default::default()),
            Ok(TerminalNews::Output(data)) => Message::Binary(data),
            Ok(TerminalNews::Gap(from)) => note(&TerminalNote::Gap { from }),
            Ok(TerminalNews::Exit(exit)) => {
                sink.send(note(&TerminalNote::Exit(exit))).await.ok()?;
                return Some((CloseCode::Normal, "the program has ended"));
            }
            Ok(TerminalNews::Lost) => return Some((CloseCode::Away, "the session has ended")),
            Ok(TerminalNews::Left) => return Some((CloseCode::Restart, "the node restarts")),
        };
        sink.send(message).await.ok()?;
    }
}

async fn hear(
    stream: &mut SplitStream<Socket>,
    attachment: &Attachment,
    patience: Duration,
) -> Close {
    loop {
        // Any frame will do, an answer to a heartbeat included.
        let Ok(message) = tokio::time::timeout(patience, stream.next()).await else {
            return Some((CloseCode::Policy, "no answer to heartbeats"));
        };
        let done = match message? {
            Ok(Message::Binary(data)) => attachment.input(&data).await,
            Ok(Message::Text(text)) => match serde_json::from_str(text.as_str()) {
                Ok(control) => attachment.control(control).await,
                Err(_) => return Some((CloseCode::Policy, "a text frame that is no control")),
            },
            Ok(Message::Close(_)) => return None,
            Ok(_) => Ok(()),
            Err(_) => return Some((CloseCode::Protocol, "not the protocol, or too much of it")),
        };
        match done {
            Ok(()) => {}
            Err(JobError::Invalid(_)) => {
                return Some((CloseCode::Policy, "a control that can't be obeyed"));
            }
            Err(_) => return Some((CloseCode::Away, "the session has ended")),
        }
    }
}

fn note(note: &TerminalNote) -> Message {
    // These types always serialise.
    Message::text(serde_json::to_string(note).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(headers: &[(&str, &str)]) -> Result<Option<HeaderValue>, ApiError> {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let wish = Handshake::of(&request.body(()).unwrap())?;
        Ok(wish.map(|wish| wish.accept))
    }

    const WISH: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_standard_is_accepted() {
        let accept = handshake(&WISH).unwrap().unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(handshake(&[]).unwrap().is_none());
    }

    #[test]
    fn a_page_in_a_browser_is_refused_and_so_is_half_a_wish() {
        let of_a_page = [&WISH[..], &[("origin", "http://localhost:9190")]].concat();
        assert!(matches!(handshake(&of_a_page), Err(ApiError::OfAPage)));
        for missing in [0, 2, 3] {
            let mut wish = WISH.to_vec();
            wish.remove(missing);
            assert!(matches!(handshake(&wish), Err(ApiError::Malformed(_))), "{missing}");
        }
    }
}
