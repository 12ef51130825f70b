//! An answer on its way to the client, read along for what it costs.
//!
//! ```text
//! Flows ──(complete)──► Done
//!   └──(over without the dialect's end mark, or a frame that can't be read)
//!        └──► Spoke: the last frame says so ──► Aborts
//! ```

use crate::{UsageFilter, account::Account, veil::Veil};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use relay::{Dialect, RelayError, Relayed, StreamFormat};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) struct Metered {
    relayed: Relayed,
    account: Account,
    veil: Option<Veil>,
    /// Takes out what the client did not ask for.
    filter: Option<UsageFilter>,
    dialect: Dialect,
    /// None for an answer in one piece.
    format: Option<StreamFormat>,
    state: State,
}

enum State {
    Flows,
    Done,
    /// What comes next is the word of the error.
    Fails(RelayError),
    /// What was said last must reach the socket before the connection breaks.
    Spoke(RelayError),
    Aborts(RelayError),
}

impl Metered {
    pub(crate) fn new(
        relayed: Relayed,
        account: Account,
        (veil, filter): (Option<Veil>, Option<UsageFilter>),
        dialect: Dialect,
        format: Option<StreamFormat>,
    ) -> Self {
        Self { relayed, account, veil, filter, dialect, format, state: State::Flows }
    }

    /// What of the upstream's words the client gets.
    fn shown(&mut self, mut data: Bytes) -> Bytes {
        if let Some(veil) = &mut self.veil {
            data = veil.feed(data);
            // An answer of known length is not asked for more than that.
            if self.format.is_none() && self.relayed.is_end_stream() {
                data = joined(data, veil.finish());
            }
        }
        match &mut self.filter {
            Some(filter) => filter.feed(&data),
            None => data,
        }
    }

    /// The upstream has said all that it has to say.
    fn over(&mut self) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let mut held = self.veil.take().map(|mut veil| veil.finish()).unwrap_or_default();
        if let Some(mut filter) = self.filter.take() {
            let passed = filter.feed(&held);
            held = joined(passed, filter.finish());
        }
        let is_whole = self.account.complete(self.format.is_some());
        if !is_whole && held.is_empty() {
            return self.speak(RelayError::Unfinished);
        }
        self.state = if is_whole { State::Done } else { State::Spoke(RelayError::Unfinished) };
        match held.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Ready(Some(Ok(Frame::data(held)))),
        }
    }

    /// Puts the error into the stream, as its last word.
    fn speak(&mut self, error: RelayError) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let Some(format) = self.format else {
            self.state = State::Done;
            return Poll::Ready(Some(Err(error)));
        };
        let (status, code) = (error.status(), error.code());
        let frame = self.dialect.error_frame(format, status, code, &error.to_string());
        self.state = State::Spoke(error);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

fn joined(first: Bytes, rest: Bytes) -> Bytes {
    match (first.is_empty(), rest.is_empty()) {
        (_, true) => first,
        (true, false) => rest,
        (false, false) => [first, rest].concat().into(),
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Done) {
            State::Flows => this.state = State::Flows,
            State::Done => return Poll::Ready(None),
            State::Fails(error) => return this.speak(error),
            State::Spoke(error) => {
                this.state = State::Aborts(error);
                // The connection flushes what it has when there is nothing more at the moment.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Aborts(error) => return Poll::Ready(Some(Err(error))),
        }
        loop {
            let read = std::task::ready!(Pin::new(&mut this.relayed).poll_frame(cx));
            return Poll::Ready(match read {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let is_readable = this.account.read(&data);
                    let data = this.shown(data);
                    if !is_readable && this.format.is_some() {
                        this.account.failed(&RelayError::Garbled);
                        this.state = State::Fails(RelayError::Garbled);
                        if data.is_empty() {
                            return this.speak(RelayError::Garbled);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    // An answer of known length is not asked for more than that.
                    if this.format.is_none() && this.relayed.is_end_stream() {
                        this.account.complete(false);
                    }
                    if data.is_empty() {
                        continue;
                    }
                    Some(Ok(Frame::data(data)))
                }
                Some(Err(error)) => {
                    this.account.failed(&error);
                    this.state = State::Done;
                    Some(Err(error))
                }
                None => return this.over(),
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.state {
            State::Flows => self.format.is_none() && self.relayed.is_end_stream(),
            State::Done => true,
            State::Fails(_) | State::Spoke(_) | State::Aborts(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.format {
            None => self.relayed.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
