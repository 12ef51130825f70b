//! The sandbox's terminals: programs on a pseudoterminal, and the last of what they wrote.
//!
//! Nothing that a program writes is understood here. What is kept is bounded, and what the host has
//! not seen holds the program up while the host is there; without a host it goes on, and the oldest
//! output is dropped.

use crate::{
    connection::Connection,
    fence::Fence,
    processes::{Reaped, signal_group, signal_tree},
    spawn::{NotExecuted, OnTerminal, spawn_on_terminal},
};
use contracts::{
    TerminalId,
    link::{
        Command, End, FromAgent, MAX_CHUNK_BYTES,
        terminal::{
            FromTerminals, INPUT_BYTES, MAX_TERMINALS, SCROLLBACK_BYTES, Size, TerminalStatus,
            ToTerminals, WINDOW_BYTES,
        },
    },
};
use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};
use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::AsFd,
};

/// Pieces taken from one terminal before the others have their turn, and when its program has ended.
const PIECES: usize = 4;
const LAST_PIECES: usize = 64;

#[derive(Default)]
pub(crate) struct Terminals(BTreeMap<TerminalId, Terminal>);

struct Terminal {
    program: Option<OnTerminal>,
    size: Size,
    /// The last of the output, and the position of its first byte.
    kept: VecDeque<u8>,
    from: u64,
    sent: u64,
    /// What the host has said that it has.
    seen: u64,
    input: VecDeque<u8>,
    given: u64,
    taken_told: u64,
    end: Option<End>,
    end_told: bool,
}

impl Terminals {
    pub(crate) fn statuses(&self) -> Vec<TerminalStatus> {
        let status = |(id, terminal): (&TerminalId, &Terminal)| TerminalStatus {
            terminal: id.clone(),
            from: terminal.from,
            given: terminal.given,
            taken: terminal.taken(),
            size: terminal.size,
        };
        self.0.iter().map(status).collect()
    }

    /// A new host wants all that is kept.
    pub(crate) fn resume(&mut self) {
        for terminal in self.0.values_mut() {
            terminal.sent = terminal.from;
            terminal.seen = terminal.from;
            terminal.taken_told = terminal.taken();
            terminal.end_told = false;
        }
    }

    pub(crate) fn obey(&mut self, message: ToTerminals, fence: &Fence) {
        match message {
            ToTerminals::Start { terminal, command, size } => {
                if self.0.len() < MAX_TERMINALS {
                    self.0
                        .entry(terminal)
                        .or_insert_with(|| Terminal::start(&command, fence, size));
                }
            }
            ToTerminals::Input { terminal, data } => self.with(&terminal, |it| it.take(&data)),
            ToTerminals::Resize { terminal, size } => self.with(&terminal, |it| it.resize(size)),
            ToTerminals::Signal { terminal, signal } => {
                self.with(&terminal, |it| it.signal(signal));
            }
            ToTerminals::Seen { terminal, to } => {
                self.with(&terminal, |it| it.seen = to.clamp(it.seen, it.sent));
            }
            ToTerminals::End { terminal } => {
                if let Some(terminal) = self.0.remove(&terminal) {
                    terminal.kill();
                }
            }
        }
    }

    fn with(&mut self, id: &TerminalId, change: impl FnOnce(&mut Terminal)) {
        if let Some(terminal) = self.0.get_mut(id) {
            change(terminal);
        }
    }

    /// Takes note of a program's end, if it was one on a terminal.
    pub(crate) fn child_ended(&mut self, reaped: &Reaped, scratch: &mut [u8]) -> bool {
        let is_its = |terminal: &&mut Terminal| {
            terminal.program.as_ref().is_some_and(|program| program.pid == reaped.pid)
        };
        let Some(terminal) = self.0.values_mut().find(is_its) else { return false };
        terminal.read(scratch, LAST_PIECES);
        terminal.end = Some(match libc::WIFSIGNALED(reaped.status) {
            true => End::Signal(libc::WTERMSIG(reaped.status)),
            false => End::Code(libc::WEXITSTATUS(reaped.status)),
        });
        // Whatever else is on it is told that its terminal is gone, as when a window is closed.
        terminal.program = None;
        terminal.input = VecDeque::new();
        true
    }

    /// What to sleep on.
    pub(crate) fn poll_fds<'a>(&'a self, listens: bool, fds: &mut Vec<PollFd<'a>>) {
        for terminal in self.0.values() {
            let Some(program) = &terminal.program else { continue };
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, terminal.is_read(listens));
            flags.set(PollFlags::OUT, !terminal.input.is_empty());
            if !flags.is_empty() {
                fds.push(PollFd::from_borrowed_fd(program.master.as_fd(), flags));
            }
        }
    }

    pub(crate) fn serve(&mut self, listens: bool, scratch: &mut [u8]) {
        for terminal in self.0.values_mut() {
            terminal.write();
            if terminal.is_read(listens) {
                terminal.read(scratch, PIECES);
            }
        }
    }

    /// Tells the host what is new, as far as it has room.
    pub(crate) fn tell(&mut self, link: &mut Connection) {
        for (id, terminal) in &mut self.0 {
            while link.has_room()
                && let Some((at, data)) = terminal.next_piece()
            {
                let output = FromTerminals::Output { terminal: id.clone(), at, data };
                link.send(&FromAgent::Terminals(output));
            }
            let bytes = terminal.taken();
            if bytes > terminal.taken_told {
                terminal.taken_told = bytes;
                let taken = FromTerminals::Taken { terminal: id.clone(), bytes };
                link.send(&FromAgent::Terminals(taken));
            }
            if let (Some(end), false) = (&terminal.end, terminal.end_told)
                && terminal.sent == terminal.to()
            {
                let ended = FromTerminals::Ended { terminal: id.clone(), end: end.clone() };
                link.send(&FromAgent::Terminals(ended));
                terminal.end_told = true;
            }
        }
    }
}

impl Terminal {
    fn start(command: &Command, fence: &Fence, size: Size) -> Self {
        let (program, end) = match spawn_on_terminal(command, fence, size) {
            Ok(program) => (Some(program), None),
            Err(NotExecuted { errno, step }) => {
                (None, Some(End::NotExecuted { errno, step: step.to_owned() }))
            }
        };
        Self {
            program,
            size,
            kept: VecDeque::new(),
            from: 0,
            sent: 0,
            seen: 0,
            input: VecDeque::new(),
            given: 0,
            taken_told: 0,
            end,
            end_told: false,
        }
    }

    /// The position behind the last byte of the output.
    fn to(&self) -> u64 {
        self.from + self.kept.len() as u64
    }

    fn taken(&self) -> u64 {
        self.given - self.input.len() as u64
    }

    fn is_read(&self, listens: bool) -> bool {
        !listens || self.to() - self.seen < WINDOW_BYTES
    }

    fn read(&mut self, scratch: &mut [u8], pieces: usize) {
        for _ in 0..pieces {
            let Some(program) = &self.program else { return };
            match rustix::io::read(&program.master, &mut *scratch) {
                Ok(count) if count > 0 => self.keep(&scratch[..count]),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn keep(&mut self, data: &[u8]) {
        self.kept.extend(data);
        let over = self.kept.len().saturating_sub(SCROLLBACK_BYTES);
        self.kept.drain(..over);
        self.from += over as u64;
        self.sent = self.sent.max(self.from);
        self.seen = self.seen.max(self.from);
    }

    fn next_piece(&mut self) -> Option<(u64, Vec<u8>)> {
        let room = (self.seen + WINDOW_BYTES).saturating_sub(self.sent).min(MAX_CHUNK_BYTES as u64);
        let start = (self.sent - self.from) as usize;
        let end = self.kept.len().min(start + room as usize);
        if start >= end {
            return None;
        }
        let at = self.sent;
        self.sent += (end - start) as u64;
        Some((at, self.kept.range(start..end).copied().collect()))
    }

    fn take(&mut self, data: &[u8]) {
        // The host counts too, and so there always is room.
        let room = (INPUT_BYTES as usize).saturating_sub(self.input.len());
        if self.program.is_some() && data.len() <= room {
            self.given += data.len() as u64;
            self.input.extend(data);
        }
    }

    fn write(&mut self) {
        while let (Some(program), false) = (&self.program, self.input.is_empty()) {
            match rustix::io::write(&program.master, self.input.as_slices().0) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn resize(&mut self, size: Size) {
        self.size = size;
        if let Some(program) = &self.program {
            program.resize(size);
        }
    }

    fn signal(&self, signal: i32) {
        let Some(program) = &self.program else { return };
        match rustix::termios::tcgetpgrp(&program.master) {
            Ok(group) => signal_group(group.as_raw_nonzero().get(), signal),
            Err(_) => signal_group(program.pid, signal),
        }
    }

    fn kill(&self) {
        let Some(program) = &self.program else { return };
        self.signal(libc::SIGKILL);
        signal_tree(program.pid, libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Terminal {
        let nothing = Command {
            argv: vec!["/nonexistent".to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            stdin: false,
            output_bytes: 0,
            flood_bytes: 0,
            sole: false,
            backstop_ms: 0,
        };
        Terminal::start(&nothing, &Fence::off(), Size { rows: 1, cols: 1 })
    }

    #[test]
    fn only_the_last_of_the_output_is_kept() {
        let mut terminal = ended();
        terminal.keep(&vec![b'a'; SCROLLBACK_BYTES]);
        terminal.keep(b"bc");
        assert_eq!((terminal.from, terminal.to()), (2, SCROLLBACK_BYTES as u64 + 2));
        assert_eq!(terminal.kept.len(), SCROLLBACK_BYTES);
        assert_eq!(terminal.kept.back(), Some(&b'c'));
    }

    #[test]
    fn the_host_gets_no_more_than_it_has_room_for() {
        let mut terminal = ended();
        terminal.keep(&vec![b'a'; 3 * WINDOW_BYTES as usize]);
        let sent = |terminal: &mut Terminal| {
            let mut sent = 0;
            while let Some((at, data)) = terminal.next_piece() {
                assert_eq!(at + data.len() as u64, terminal.sent);
                sent += data.len() as u64;
            }
            sent
        };
        assert_eq!(sent(&mut terminal), WINDOW_BYTES);
        assert!(!terminal.is_read(true) && terminal.is_read(false));
        terminal.seen += 10;
        assert_eq!(sent(&mut terminal), 10);
    }
}
