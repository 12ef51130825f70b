//! One stream socket, TCP or unix, that may be looked at while somebody else reads and writes it.

use rustix::net::{RecvFlags, recv};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// How often a peer is looked at that has sent more than anybody reads.
const CROWDED_LOOK: Duration = Duration::from_millis(50);

/// Named outside by nobody: a listener only has to say that it makes some.
#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Does the same call on either kind.
macro_rules! on {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
        }
    };
}

impl Socket {
    /// Small frames must not wait for a larger one to share a packet with: 40 ms each, otherwise.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Ends when the peer has closed its side, even while bytes of it are unread.
    pub(crate) async fn gone(&self) {
        loop {
            match on!(self, stream => stream.ready(Interest::READABLE).await) {
                Ok(ready) if ready.is_read_closed() => return,
                Ok(ready) if ready.is_empty() => {}
                // Unread bytes stay ready, so there is nothing to wait for but time.
                Ok(_) => tokio::time::sleep(CROWDED_LOOK).await,
                Err(_) => return,
            }
        }
    }

    /// Whether an idle connection is still good: open, and with nothing unasked in it.
    pub(crate) fn is_quiet(&self) -> bool {
        let looked = recv(self, &mut [0_u8; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(looked, Err(rustix::io::Errno::AGAIN))
    }

    /// Reads and forgets until the peer closes, so that what it was told is not lost to a reset.
    pub(crate) async fn linger(&self, most: usize) {
        // A refused CONNECT ends without it, and its client would wait for the end.
        let _it_may_be_done = rustix::net::shutdown(self, rustix::net::Shutdown::Write);
        let mut left = most;
        let mut scratch = [0; 8 << 10];
        while left > 0 {
            if on!(self, stream => stream.readable().await).is_err() {
                return;
            }
            match on!(self, stream => stream.try_read(&mut scratch)) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        on!(self, stream => stream.as_fd())
    }
}

/// The reading and writing end of a shared socket.
#[derive(Debug, Clone)]
pub(crate) struct Plain(pub(crate) Arc<Socket>);

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(on!(&*self.0, stream => stream.poll_read_ready(cx)))?;
            let (room, mut read) = (buffer.remaining(), 0);
            let tried = on!(&*self.0, stream => stream.try_io(Interest::READABLE, || {
                read = stream.try_read_buf(buffer)?;
                // Less than there was room for is all that there is: to say so spares the next look.
                let drained = 0 < read && read < room;
                if drained { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            }));
            match tried {
                Err(error) if read == 0 && error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if read == 0 => return Poll::Ready(Err(error)),
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(on!(&*self.0, stream => stream.poll_write_ready(cx)))?;
            match on!(&*self.0, stream => stream.try_write_vectored(slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write)?))
    }
}
