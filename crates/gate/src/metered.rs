//! An answer on its way to the client, read along for what it costs.
//!
//! ```text
//! Flows ──(complete)──► Done
//!   └──(over, but without the dialect's end mark)──► Spoke: the last frame says so ──► Aborts
//! ```

use crate::{UsageFilter, account::Account};
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
    /// What was said last must reach the socket before the connection breaks.
    Spoke,
    Aborts,
}

impl Metered {
    pub(crate) fn new(
        relayed: Relayed,
        account: Account,
        filter: Option<UsageFilter>,
        dialect: Dialect,
        format: Option<StreamFormat>,
    ) -> Self {
        Self { relayed, account, filter, dialect, format, state: State::Flows }
    }

    /// The upstream has said all that it has to say.
    fn over(&mut self) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let held = self.filter.take().map(UsageFilter::finish).unwrap_or_default();
        let is_whole = self.account.complete(self.format.is_some());
        self.state = if is_whole { State::Done } else { State::Spoke };
        let last = match self.format.filter(|_| !is_whole && held.is_empty()) {
            None => held,
            Some(format) => {
                let error = RelayError::Unfinished;
                let (status, code) = (error.status(), error.code());
                self.dialect.error_frame(format, status, code, &error.to_string())
            }
        };
        match last.is_empty() {
            true => Poll::Ready(None),
            false => Poll::Ready(Some(Ok(Frame::data(last)))),
        }
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
        match this.state {
            State::Flows => {}
            State::Done => return Poll::Ready(None),
            State::Spoke => {
                this.state = State::Aborts;
                // The connection flushes what it has when there is nothing more at the moment.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Aborts => {
                this.state = State::Done;
                return Poll::Ready(Some(Err(RelayError::Unfinished)));
            }
        }
        loop {
            let read = std::task::ready!(Pin::new(&mut this.relayed).poll_frame(cx));
            return Poll::Ready(match read {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.account.read(&data);
                    let data = match &mut this.filter {
                        Some(filter) => filter.feed(&data),
                        None => data,
                    };
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
            State::Spoke | State::Aborts => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.format {
            None => self.relayed.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
