//! The upstream's answer on its way to the client: every read goes out at once, nothing is kept.
//!
//! ```text
//! Flows ──(complete)──► Done
//!   └──(cut, idle, total)──► Spoke: the last frame may say so ──► Aborts: the connection is broken
//! ```
//! An answer that was cut never ends as a complete one does.

use crate::{
    Dialect, RelayError, StreamFormat, Timeouts,
    alarm::Alarm,
    pool::{Channel, Pool, drive_until},
};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;

pub struct Relayed {
    incoming: Incoming,
    state: State,
    /// Where the connection goes when the answer is complete.
    pool: Arc<Pool>,
    voice: Option<Voice>,
    clock: Clock,
}

enum State {
    Flows(Box<Channel>),
    Done,
    /// What the client was sent so far must reach the socket before the connection ends.
    Spoke(RelayError),
    Aborts(RelayError),
}

/// How an error is put into a stream, and whether it would be understood where the stream is.
struct Voice {
    dialect: Dialect,
    format: StreamFormat,
    /// The last bytes that went by, the newest at the end.
    tail: [u8; 2],
}

impl Relayed {
    pub(crate) fn new(
        incoming: Incoming,
        channel: Box<Channel>,
        pool: Arc<Pool>,
        (dialect, format): (Dialect, Option<StreamFormat>),
        limits: &Timeouts,
    ) -> Self {
        let state = if incoming.is_end_stream() {
            pool.give_back(channel);
            State::Done
        } else {
            State::Flows(channel)
        };
        // An answer of known length can't take a frame more.
        let voice = format.filter(|_| incoming.size_hint().exact().is_none());
        let voice = voice.map(|format| Voice { dialect, format, tail: *b"\n\n" });
        let total = limits.total.filter(|_| format.is_none());
        Self { incoming, state, pool, voice, clock: Clock::new(limits.idle, total) }
    }

    fn complete(&mut self) {
        if let State::Flows(channel) = std::mem::replace(&mut self.state, State::Done) {
            self.pool.give_back(channel);
        }
    }

    /// Closes the upstream's connection, and says so to the client if that can be said.
    fn fail(
        &mut self,
        error: RelayError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        tracing::debug!(code = error.code(), "an answer was cut");
        let voice = self.voice.as_ref().filter(|voice| voice.is_between_frames());
        let frame = voice.map(|Voice { dialect, format, .. }| {
            let (status, code) = (error.status(), error.code());
            dialect.error_frame(*format, status, code, &error.to_string())
        });
        self.state = State::Spoke(error);
        match frame {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None => self.abort(cx),
        }
    }

    fn abort(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Spoke(error) => {
                self.state = State::Aborts(error);
                // The connection flushes what it has when there is nothing more at the moment.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            State::Aborts(error) => Poll::Ready(Some(Err(error))),
            State::Flows(_) | State::Done => Poll::Ready(None),
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        let channel = match &mut this.state {
            State::Flows(channel) => channel,
            State::Done => return Poll::Ready(None),
            State::Spoke(_) | State::Aborts(_) => return this.abort(cx),
        };
        loop {
            let incoming = &mut this.incoming;
            let read = drive_until(channel, cx, |cx| Pin::new(&mut *incoming).poll_frame(cx));
            return match read {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are dropped: no client of these dialects asks for any.
                    let Ok(data) = frame.into_data() else { continue };
                    this.clock.heard();
                    if let Some(voice) = &mut this.voice {
                        voice.heard(&data);
                    }
                    if this.incoming.is_end_stream() {
                        this.complete();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Poll::Ready(Some(Err(error))) => this.fail(RelayError::Cut(error), cx),
                Poll::Ready(None) => {
                    this.complete();
                    Poll::Ready(None)
                }
                Poll::Pending => match this.clock.poll_late(&mut channel.alarm, cx) {
                    Poll::Ready(error) => this.fail(error, cx),
                    Poll::Pending => Poll::Pending,
                },
            };
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done) && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Voice {
    fn heard(&mut self, data: &[u8]) {
        self.tail = match *data {
            [.., before, last] => [before, last],
            [last] => [self.tail[1], last],
            [] => self.tail,
        };
    }

    /// In the middle of a frame, an error would only be part of what can't be read anyway.
    fn is_between_frames(&self) -> bool {
        match self.format {
            StreamFormat::Lines => self.tail[1] == b'\n',
            // An empty line, whichever of the ways to end a line it uses.
            StreamFormat::Events => matches!(&self.tail, b"\n\n" | b"\r\r" | b"\r\n"),
        }
    }
}

/// Time without a byte, counted only while somebody waits for one.
struct Clock {
    idle: Duration,
    total: Option<(Instant, Duration)>,
    waits_since: Option<Instant>,
}

impl Clock {
    fn new(idle: Duration, total: Option<Duration>) -> Self {
        let total = total.map(|total| (Instant::now() + total, total));
        Self { idle, total, waits_since: None }
    }

    fn heard(&mut self) {
        self.waits_since = None;
    }

    /// Ready with the reason once it is too late.
    fn poll_late(&mut self, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<RelayError> {
        let silent = *self.waits_since.get_or_insert_with(Instant::now) + self.idle;
        let due = self.total.map_or(silent, |(end, _)| silent.min(end));
        ready!(alarm.poll(cx, due));
        Poll::Ready(match self.total {
            Some((end, total)) if end == due => RelayError::Total(total),
            _ => RelayError::Idle(self.idle),
        })
    }
}
