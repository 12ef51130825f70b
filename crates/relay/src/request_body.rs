//! The body of a request on its way: counted, capped, and watched by the one who waits.

use crate::{Received, RelayError};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::time::Instant;

pub struct RequestBody {
    source: Source,
    progress: Arc<Progress>,
    watch: Option<Watch>,
}

/// Told of each piece's length, it says whether the piece may go.
type Watch = Box<dyn FnMut(usize) -> bool + Send>;

enum Source {
    Streamed { incoming: Received, limit: u64, left: u64 },
    Whole(Full<Bytes>),
}

impl RequestBody {
    /// Relayed as it comes. One that says that it is too large is refused before it is read.
    pub fn streamed(incoming: Received, limit: u64) -> Result<Self, RelayError> {
        if incoming.size_hint().lower() > limit {
            return Err(RelayError::TooLarge { limit });
        }
        Ok(Self::new(Source::Streamed { incoming, limit, left: limit }))
    }

    /// One that was read before, or made.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(Source::Whole(Full::new(bytes.into())))
    }

    /// Each piece goes only if `watch`, which is told its length, says so.
    #[must_use]
    pub fn watched(self, watch: impl FnMut(usize) -> bool + Send + 'static) -> Self {
        Self { watch: Some(Box::new(watch)), ..self }
    }

    fn new(source: Source) -> Self {
        let body = Self { source, progress: Arc::default(), watch: None };
        if body.is_end_stream() {
            body.progress.end();
        }
        body
    }

    /// The most that it may have.
    pub(crate) fn limit(&self) -> u64 {
        match self.source {
            Source::Streamed { limit, .. } => limit,
            Source::Whole(_) => u64::MAX,
        }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

/// How far the body has come, for the one who must tell why a call failed.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    state: AtomicU8,
    ended: OnceLock<Instant>,
}

const WAITS_FOR_UPSTREAM: u8 = 0;
const WAITS_FOR_CLIENT: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN: u8 = 3;

impl Progress {
    fn set(&self, state: u8) {
        self.state.store(state, Relaxed);
    }

    fn end(&self) {
        self.ended.get_or_init(Instant::now);
    }

    /// When the last byte went out.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get().copied()
    }

    pub(crate) fn waits_for_client(&self) -> bool {
        self.state.load(Relaxed) == WAITS_FOR_CLIENT && self.ended().is_none()
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.state.load(Relaxed) == TOO_LARGE
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.state.load(Relaxed) == BROKEN
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let Self { source, progress, watch } = &mut *self;
        let frame = match source {
            Source::Whole(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Source::Streamed { incoming, limit, left } => {
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Pending => {
                        progress.set(WAITS_FOR_CLIENT);
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Err(_))) => {
                        progress.set(BROKEN);
                        Poll::Ready(Some(Err(RelayError::BrokenRequest)))
                    }
                    Poll::Ready(Some(Ok(frame))) => {
                        progress.set(WAITS_FOR_UPSTREAM);
                        // Trailers say nothing that a provider needs, and headers by the back door.
                        let Ok(data) = frame.into_data() else { return self.poll_frame(cx) };
                        let may_go = watch.as_mut().is_none_or(|watch| watch(data.len()));
                        match left.checked_sub(data.len() as u64).filter(|_| may_go) {
                            Some(rest) => {
                                *left = rest;
                                Poll::Ready(Some(Ok(Frame::data(data))))
                            }
                            None => {
                                progress.set(TOO_LARGE);
                                Poll::Ready(Some(Err(RelayError::TooLarge { limit: *limit })))
                            }
                        }
                    }
                    Poll::Ready(None) => Poll::Ready(None),
                }
            }
        };
        let failed = matches!(frame, Poll::Ready(Some(Err(_))));
        if matches!(frame, Poll::Ready(None)) || !failed && self.is_end_stream() {
            self.progress.end();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(full) => full.is_end_stream(),
            Source::Streamed { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(full) => full.size_hint(),
            Source::Streamed { incoming, .. } => incoming.size_hint(),
        }
    }
}
