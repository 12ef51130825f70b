//! The agent's end of the link: bytes in, bytes out, and frames of both, never waiting.

use contracts::link::{FromAgent, ToAgent, decode, encode, frame_length};
use rustix::io::Errno;
use std::{
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

/// Bytes that may wait for the host. Output stays in its capture beyond this.
const OUTGOING_BYTES: usize = 256 << 10;

pub(crate) struct Connection {
    stream: UnixStream,
    incoming: Vec<u8>,
    /// Where the next frame starts in `incoming`.
    read: usize,
    outgoing: Vec<u8>,
    written: usize,
    /// The host has said Welcome.
    pub(crate) welcomed: bool,
}

/// The link is over: the host hung up, or spoke nonsense.
#[derive(Debug)]
pub(crate) struct Lost;

impl Connection {
    pub(crate) fn connect(path: &Path) -> Option<Self> {
        let stream = UnixStream::connect(path).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(Self {
            stream,
            incoming: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            written: 0,
            welcomed: false,
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.len() - self.written < OUTGOING_BYTES
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.outgoing.len() > self.written
    }

    pub(crate) fn send(&mut self, message: &FromAgent) {
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
        }
        // Everything that we send is built from bounded pieces, so no frame is too large.
        if let Ok(frame) = encode(message) {
            self.outgoing.extend_from_slice(&frame);
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Lost> {
        while self.has_outgoing() {
            match rustix::io::write(&self.stream, &self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Lost),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, one scratch full at a time.
    pub(crate) fn fill(&mut self, scratch: &mut [u8]) -> Result<(), Lost> {
        if self.read > 0 {
            self.incoming.drain(..self.read);
            self.read = 0;
        }
        match rustix::io::read(&self.stream, &mut *scratch) {
            Ok(0) => Err(Lost),
            Ok(count) => {
                self.incoming.extend_from_slice(&scratch[..count]);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(_) => Err(Lost),
        }
    }

    /// The next whole frame, if it has arrived.
    pub(crate) fn next(&mut self) -> Result<Option<ToAgent>, Lost> {
        let rest = &self.incoming[self.read..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = frame_length(*head).map_err(|_| Lost)?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = decode(body).map_err(|_| Lost)?;
        self.read += 4 + length;
        Ok(Some(message))
    }
}
