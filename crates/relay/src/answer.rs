//! What goes back to a client: words of our own, or an upstream's.

use crate::{Dialect, RelayError, Relayed, Tunnel};
use bytes::Bytes;
use http_body_util::{Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pub type Answer = Response<AnswerBody>;

pub enum AnswerBody {
    Whole(Full<Bytes>),
    Relayed(Box<Relayed>),
    /// For one who listens in on what is relayed.
    Other(UnsyncBoxBody<Bytes, RelayError>),
    /// A CONNECT is granted: the connection speaks no HTTP from here on.
    Tunnel(Tunnel),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Relayed(body) => Pin::new(body).poll_frame(cx),
            Self::Other(body) => Pin::new(body).poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Relayed(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Relayed(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

impl From<Relayed> for AnswerBody {
    fn from(relayed: Relayed) -> Self {
        Self::Relayed(Box::new(relayed))
    }
}

/// A short text.
pub fn plain(status: StatusCode, text: &'static str) -> Answer {
    whole(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

/// An error as the client's library reads it.
pub fn refusal(dialect: Dialect, error: &RelayError) -> Answer {
    let status = error.status();
    let body = dialect.error_body(status, error.code(), &error.to_string());
    whole(status, "application/json", body)
}

fn whole(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
