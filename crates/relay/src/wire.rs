//! A client's connection as the HTTP library reads and writes it.

use crate::head_guard::{HeadGuard, Seen};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

pub(crate) struct Wire<S> {
    stream: S,
    /// Where the framing is text that two readers could read apart.
    guard: Option<(HeadGuard, Arc<Seen>)>,
    /// How long the client may leave what is written to it unread.
    patience: Duration,
    /// Runs while nothing more can be written.
    stall: Option<Pin<Box<Sleep>>>,
    /// Runs while what was written is on no socket yet: TLS keeps some of it back.
    unflushed: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, guard: None, patience, stall: None, unflushed: None }
    }

    pub(crate) fn guarded(self, seen: Arc<Seen>) -> Self {
        Self { guard: Some((HeadGuard::new(), seen)), ..self }
    }

    /// An answer that nobody reads holds an upstream and a place, so it may not last.
    fn bounded(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            (self.stall, self.unflushed) = (None, None);
            return written;
        }
        overdue(&mut self.stall, self.patience, cx).map(Err)
    }
}

/// Ready, with the fault, when the timer that runs since the first call has rung.
fn overdue(
    timer: &mut Option<Pin<Box<Sleep>>>,
    patience: Duration,
    cx: &mut Context<'_>,
) -> Poll<io::Error> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(patience)));
    timer.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if let Some((guard, seen)) = &mut this.guard {
            guard.see(&buffer.filled()[before..], seen);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        if flushed.is_ready() {
            this.unflushed = None;
            return flushed;
        }
        overdue(&mut this.unflushed, this.patience, cx).map(Err)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
