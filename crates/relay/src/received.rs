//! A request's body as it comes from a client.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

type Rest = Box<dyn FnOnce(Incoming) + Send + Sync>;

pub struct Received {
    incoming: Option<Incoming>,
    /// Gets what nobody read to its end, where dropping it would cut the answer off.
    rest: Option<Rest>,
}

impl Received {
    pub(crate) fn or_else(
        incoming: Incoming,
        rest: impl FnOnce(Incoming) + Send + Sync + 'static,
    ) -> Self {
        Self { incoming: Some(incoming), rest: Some(Box::new(rest)) }
    }
}

impl From<Incoming> for Received {
    fn from(incoming: Incoming) -> Self {
        Self { incoming: Some(incoming), rest: None }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let (Some(incoming), Some(rest)) = (self.incoming.take(), self.rest.take())
            && !incoming.is_end_stream()
        {
            rest(incoming);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}
