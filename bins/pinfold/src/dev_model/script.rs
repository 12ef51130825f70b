//! A body as a list of steps, so that a fault is a change to a list.

use super::stats::Call;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

#[derive(Debug)]
pub(super) enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Lets the connection write what it has before the next step.
    Flush,
    /// Never goes on.
    Stall,
    /// Closes the connection with the answer unfinished.
    Cut,
}

pub(super) type Steps = Box<dyn Iterator<Item = Step> + Send>;

/// Breaks the connection off. It is on purpose, so nobody needs to read it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off, as was asked for")]
pub(super) struct BrokenOff;

pub(super) struct Script {
    steps: Steps,
    /// Bytes to come, where the head tells them.
    left: Option<u64>,
    pause: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    call: Option<Call>,
}

impl Script {
    /// An answer that the head gives no length of.
    pub(super) fn stream(steps: Steps) -> Self {
        Self { steps, left: None, pause: None, stalled: false, call: None }
    }

    pub(super) fn sized(length: usize, steps: Steps) -> Self {
        Self { left: Some(length as u64), ..Self::stream(steps) }
    }

    /// The call that ends with this answer.
    pub(super) fn hold(&mut self, call: Call) {
        self.call = Some(call);
    }

    fn ended(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.ended();
        }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            if self.stalled {
                return Poll::Pending;
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match self.steps.next() {
                Some(Step::Send(bytes)) => {
                    self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
                    // With a length in the head nobody asks again after the last byte.
                    if self.left == Some(0) {
                        self.ended();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Wait(time)) => self.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Flush) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Stall) => self.stalled = true,
                Some(Step::Cut) => {
                    self.ended();
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
                None => {
                    self.ended();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
