//! One request on one connection, up to the head of its answer.

use crate::{
    RelayError, RequestBody, Timeouts,
    pool::{Channel, drive_until},
    request_body::Progress,
};
use hyper::{Request, Response, body::Incoming, client::conn::TrySendError};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tokio::time::Instant;

pub(crate) enum Failed {
    /// Not a byte of it went out, so another connection may take it.
    Unsent(Box<Request<RequestBody>>),
    Ended(RelayError),
}

/// Whoever drops this future closes the connection with the channel: the upstream learns at once.
pub(crate) async fn exchange(
    channel: &mut Channel,
    request: Request<RequestBody>,
    limits: &Timeouts,
) -> Result<Response<Incoming>, Failed> {
    let progress = request.body().progress();
    let cap = request.body().limit();
    let began = Instant::now();
    let mut answer = pin!(channel.sender.try_send_request(request));
    poll_fn(|cx| {
        if let Poll::Ready(answered) = drive_until(channel, cx, |cx| answer.as_mut().poll(cx)) {
            return Poll::Ready(answered.map_err(|error| why(error, &progress, cap)));
        }
        let due = due(&progress, began, limits);
        if channel.alarm.poll(cx, due).is_ready() {
            return Poll::Ready(Err(Failed::Ended(slow(&progress, limits))));
        }
        Poll::Pending
    })
    .await
}

/// The body has its time; once it is out, the answer has its own.
fn due(progress: &Progress, began: Instant, limits: &Timeouts) -> Instant {
    match progress.ended() {
        Some(ended) => ended + limits.first_byte,
        None => began + limits.request_body,
    }
}

fn slow(progress: &Progress, limits: &Timeouts) -> RelayError {
    if progress.ended().is_some() {
        RelayError::SlowAnswer(limits.first_byte)
    } else if progress.waits_for_client() {
        RelayError::SlowRequest(limits.request_body)
    } else {
        RelayError::UnreadRequest(limits.request_body)
    }
}

fn why(mut error: TrySendError<Request<RequestBody>>, progress: &Progress, limit: u64) -> Failed {
    if let Some(request) = error.take_message() {
        return Failed::Unsent(Box::new(request));
    }
    let error = error.into_error();
    Failed::Ended(if progress.is_too_large() {
        RelayError::TooLarge { limit }
    } else if progress.is_broken() {
        RelayError::BrokenRequest
    } else if error.is_parse() {
        RelayError::Malformed(error)
    } else {
        RelayError::Cut(error)
    })
}
