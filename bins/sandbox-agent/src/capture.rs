//! What a command wrote to one stream: read while it runs, kept up to a cap, told from any offset.

use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Kept bytes that may wait for the host before the command has to wait with them.
const UNSENT_BYTES: u64 = 256 << 10;

pub(crate) struct Capture {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    cap: u64,
    /// All that was written, kept or not.
    total: u64,
    sent: u64,
}

impl Capture {
    pub(crate) fn new(pipe: Option<OwnedFd>, cap: u64) -> Self {
        Self { pipe, kept: Vec::new(), cap, total: 0, sent: 0 }
    }

    /// The pipe, if more of it is wanted now. With the host away, everything is taken: what is
    /// beyond the cap is only counted, and the program goes on.
    pub(crate) fn wanted(&self, host_listens: bool) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| !self.is_behind(host_listens)).map(AsFd::as_fd)
    }

    /// Whether the host has to take some of it before more is read.
    pub(crate) fn is_behind(&self, host_listens: bool) -> bool {
        let behind = self.kept.len() as u64 - self.sent >= UNSENT_BYTES;
        host_listens && behind && self.total < self.cap
    }

    /// Takes what is there, at most a few pieces; `false` when the stream has ended.
    pub(crate) fn read(&mut self, scratch: &mut [u8], pieces: usize) -> bool {
        for _ in 0..pieces {
            let Some(pipe) = &self.pipe else { return false };
            match rustix::io::read(pipe, &mut *scratch) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.take(&scratch[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => self.pipe = None,
            }
        }
        self.pipe.is_some()
    }

    pub(crate) fn take(&mut self, data: &[u8]) {
        let room = (self.cap - self.kept.len() as u64).min(data.len() as u64) as usize;
        self.kept.extend_from_slice(&data[..room]);
        self.total += data.len() as u64;
    }

    /// Takes all of it or, without room, nothing.
    pub(crate) fn take_whole(&mut self, data: &[u8]) {
        match data.len() as u64 <= self.room() {
            true => self.take(data),
            false => self.leave_out(data.len() as u64),
        }
    }

    /// Counts what is not kept.
    pub(crate) fn leave_out(&mut self, bytes: u64) {
        self.total += bytes;
    }

    pub(crate) fn room(&self) -> u64 {
        self.cap - self.kept.len() as u64
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn kept(&self) -> u64 {
        self.kept.len() as u64
    }

    /// The next piece for the host, with its offset.
    pub(crate) fn next_piece(&mut self, most: usize) -> Option<(u64, Vec<u8>)> {
        let offset = self.sent;
        let rest = &self.kept[offset as usize..];
        let piece = &rest[..rest.len().min(most)];
        if piece.is_empty() {
            return None;
        }
        self.sent += piece.len() as u64;
        Some((offset, piece.to_vec()))
    }

    pub(crate) fn all_sent(&self) -> bool {
        self.sent == self.kept()
    }

    /// A new host wants to go on from here; beyond what is kept there is nothing to go on from.
    pub(crate) fn resume_at(&mut self, offset: u64) {
        self.sent = offset.min(self.kept());
    }

    /// Gives the pipe, if it is still open, up to somebody who only empties it.
    pub(crate) fn give_up(&mut self) -> Option<OwnedFd> {
        self.pipe.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_cap_is_counted_and_not_kept() {
        let mut capture = Capture::new(None, 4);
        capture.take(b"abc");
        capture.take(b"defg");
        assert_eq!((capture.kept(), capture.total()), (4, 7));
        assert_eq!(capture.next_piece(3), Some((0, b"abc".to_vec())));
        assert_eq!(capture.next_piece(3), Some((3, b"d".to_vec())));
        assert_eq!(capture.next_piece(3), None);
        capture.resume_at(2);
        assert_eq!(capture.next_piece(9), Some((2, b"cd".to_vec())));
    }
}
