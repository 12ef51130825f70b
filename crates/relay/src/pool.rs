//! Idle connections to one upstream, newest first, bounded in number and age.

use crate::{alarm::Alarm, request_body::RequestBody, socket::Socket, tls::Link};
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// More than this at a time is a burst; what it leaves behind is closed.
const MOST_IDLE: usize = 32;
/// Shorter than what common servers give an idle connection, so that they rarely close first.
const IDLE_AGE: Duration = Duration::from_secs(4);

/// A connection to an upstream. Nobody but its user drives it: dropped, it is closed.
pub(crate) struct Channel {
    pub(crate) sender: SendRequest<RequestBody>,
    connection: Connection<TokioIo<Link>, RequestBody>,
    socket: Arc<Socket>,
    /// For whatever its user waits for.
    pub(crate) alarm: Alarm,
    ended: bool,
}

impl Channel {
    pub(crate) fn new(
        sender: SendRequest<RequestBody>,
        connection: Connection<TokioIo<Link>, RequestBody>,
        socket: Arc<Socket>,
    ) -> Self {
        Self { sender, connection, socket, alarm: Alarm::default(), ended: false }
    }

    /// Reads and writes as far as it goes. How it ended is told by the message that was on its way.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.ended = true;
        }
    }

    fn is_reusable(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Instant, Box<Channel>)>>,
}

impl Pool {
    /// A connection that is open at this very moment.
    pub(crate) fn take(&self) -> Option<Box<Channel>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((since, channel)) = idle.pop() {
            if since.elapsed() > IDLE_AGE {
                // The rest is older still.
                idle.clear();
                return None;
            }
            if channel.socket.is_quiet() {
                return Some(channel);
            }
        }
        None
    }

    /// Keeps a connection whose last answer is complete, if another request may follow on it.
    pub(crate) fn give_back(&self, mut channel: Box<Channel>) {
        // It learns here that the answer has ended. Nobody needs to hear from it until it is used.
        channel.drive(&mut Context::from_waker(Waker::noop()));
        if !channel.is_reusable() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == MOST_IDLE {
            idle.remove(0);
        }
        idle.push((Instant::now(), channel));
    }
}

/// Polls like a future, for the one who has a channel and no other name for it.
pub(crate) fn drive_until<T>(
    channel: &mut Channel,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if let Poll::Ready(done) = attempt(cx) {
        return Poll::Ready(done);
    }
    channel.drive(cx);
    attempt(cx)
}
