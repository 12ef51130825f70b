//! What a kernel's driver says, line by line. Everything here may come from the code that runs in it.

use contracts::link::{
    ExecId,
    kernel::{MAX_DISPLAY_BYTES, event},
};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The bytes of one line that may wait for its end.
const MAX_LINE_BYTES: usize = MAX_DISPLAY_BYTES as usize + 64;

/// Reads from the pipe at one time.
const PIECES: usize = 16;

#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing whole is there.
    None,
    /// A result, as a line with its end.
    Display(Vec<u8>),
    /// A result that the cell has no room for, and its size.
    TooLong(u64),
    Done(ExecId, i32),
    /// Not a driver's word.
    Nonsense,
    /// The pipe is closed, and nothing more will come.
    End,
}

/// Public for who fuzzes it.
#[derive(Default)]
pub struct Events {
    pipe: Option<OwnedFd>,
    line: Vec<u8>,
    /// Where the next line starts, and up to where none ends.
    read: usize,
    searched: usize,
    /// Bytes of a line that was too long to keep, so far.
    skipped: u64,
    closed: bool,
}

impl From<OwnedFd> for Events {
    fn from(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), ..Self::default() }
    }
}

impl Events {
    pub(super) fn fd(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    pub(super) fn fill(&mut self, scratch: &mut [u8]) {
        self.line.drain(..self.read);
        self.searched -= self.read;
        self.read = 0;
        for _ in 0..PIECES {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut *scratch) {
                Ok(count) if count > 0 => self.take(&scratch[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => {
                    self.pipe = None;
                    self.closed = true;
                }
            }
        }
    }

    /// What was read of the pipe.
    pub fn take(&mut self, data: &[u8]) {
        self.line.extend_from_slice(data);
    }

    /// The next event; a result beyond `room` is only counted.
    pub fn next(&mut self, room: u64) -> Event {
        let found = self.line[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(found) = found else {
            return self.unfinished();
        };
        let end = self.searched + found + 1;
        let line = &self.line[self.read..end];
        let skipped = std::mem::take(&mut self.skipped);
        let event = match skipped {
            0 => parse(line, room),
            _ => Event::TooLong(skipped + line.len() as u64),
        };
        self.read = end;
        self.searched = end;
        event
    }

    fn unfinished(&mut self) -> Event {
        self.searched = self.line.len();
        let waiting = self.searched - self.read;
        if waiting > MAX_LINE_BYTES {
            // Whose it was is known from its first word; the rest is not kept.
            let word = &self.line[self.read..];
            if self.skipped == 0 && !word.starts_with(event::DISPLAY.as_bytes()) {
                return Event::Nonsense;
            }
            self.skipped += waiting as u64;
            self.read = self.searched;
        }
        if self.closed { Event::End } else { Event::None }
    }
}

fn parse(line: &[u8], room: u64) -> Event {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let space = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(space);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    if word == event::DISPLAY.as_bytes() {
        let size = rest.len() as u64 + 1;
        if size > room {
            return Event::TooLong(size);
        }
        return Event::Display([rest, b"\n"].concat());
    }
    if word == event::DONE.as_bytes() {
        let numbers = std::str::from_utf8(rest).ok().and_then(|rest| {
            let (id, code) = rest.split_once(' ')?;
            Some(Event::Done(id.parse().ok()?, code.parse().ok()?))
        });
        return numbers.unwrap_or(Event::Nonsense);
    }
    Event::Nonsense
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(said: &[u8], room: u64) -> Vec<Event> {
        let mut events = Events::default();
        let mut heard = Vec::new();
        for piece in said.chunks(3) {
            events.take(piece);
            loop {
                match events.next(room) {
                    Event::None => break,
                    event => heard.push(event),
                }
            }
        }
        heard
    }

    #[test]
    fn lines_are_events_however_they_arrive() {
        let said = b"display {\"a\":1}\ndone 7 -1\ndisplay {}\n";
        let expected = [
            Event::Display(b"{\"a\":1}\n".to_vec()),
            Event::Done(7, -1),
            Event::Display(b"{}\n".to_vec()),
        ];
        assert_eq!(events(said, 100), expected);
    }

    #[test]
    fn what_is_no_word_of_a_driver_is_nonsense() {
        for junk in ["\n", "x\n", "done\n", "done 1\n", "done a 1\n", "done 1 2 3\n", "done -1 0\n"]
        {
            assert_eq!(events(junk.as_bytes(), 9), [Event::Nonsense], "{junk:?}");
        }
        assert_eq!(events(b"done 99999999999 0\n", 9), [Event::Nonsense]);
        assert_eq!(events(b"\xff\xfe 1\n", 9), [Event::Nonsense]);
    }

    #[test]
    fn a_result_without_room_is_counted_and_not_kept() {
        assert_eq!(events(b"display 123456\n", 6), [Event::TooLong(7)]);
        let mut events = Events::default();
        events.take(b"display ");
        events.take(&vec![b'x'; MAX_LINE_BYTES]);
        assert_eq!(events.next(9), Event::None);
        events.take(b"yy\ndone 1 0\n");
        assert!(matches!(events.next(9), Event::TooLong(bytes) if bytes > MAX_DISPLAY_BYTES));
        assert_eq!(events.next(9), Event::Done(1, 0));
    }

    #[test]
    fn an_endless_line_that_is_no_result_is_nonsense() {
        let mut events = Events::default();
        events.take(&vec![b'x'; MAX_LINE_BYTES + 1]);
        assert_eq!(events.next(9), Event::Nonsense);
    }
}
