//! Answers that their client does not take. In HTTP/2 it need not stop reading for that: it grants an answer no room,
//! and reads the others.

use crate::{Answer, AnswerBody, RelayError};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::OwnedSemaphorePermit,
    task_local,
    time::{Instant, sleep_until},
};

task_local! {
    /// Of the request that the task answers.
    static UNREAD: Arc<Unread>;
}

/// Since when what was given of an answer is not taken.
#[derive(Default)]
struct Unread(Mutex<Option<Instant>>);

impl Unread {
    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lasts(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let due = self.since().unwrap_or(now) + patience;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// Drives the answer to one request, and drops it when it is left unread for so long.
pub(super) async fn bounded(answering: impl Future<Output = ()>, patience: Duration) {
    let unread = Arc::<Unread>::default();
    tokio::select! {
        () = UNREAD.scope(Arc::clone(&unread), answering) => {}
        () = unread.lasts(patience) => tracing::debug!("an answer is left unread"),
    }
}

/// The answer, with its place among those that one client may have at once.
pub(super) fn watched(answer: Answer, place: Option<OwnedSemaphorePermit>) -> Answer {
    let Ok(unread) = UNREAD.try_with(Arc::clone) else { return answer };
    answer.map(|body| {
        AnswerBody::Other(Watched { body, unread, has_begun: false, _place: place }.boxed_unsync())
    })
}

struct Watched {
    body: AnswerBody,
    unread: Arc<Unread>,
    has_begun: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let is_given = matches!(frame, Poll::Ready(Some(Ok(_))));
        self.has_begun |= is_given;
        // It is asked for more only when there is room for it.
        *self.unread.since() = is_given.then(Instant::now);
        frame
    }

    /// Once it has begun, its end is told when all before it has been taken.
    fn is_end_stream(&self) -> bool {
        !self.has_begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
