//! Standard input of one cell: what was sent for it and waits until the code reads it.

use crate::{JobError, live::StdinPiece};
use contracts::{code::CellInput, link::kernel::MAX_STDIN_BYTES};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Lines that may wait for code that has not begun; one that runs takes them at once.
const PIECES: usize = 64;

/// As on a terminal, what comes before the code asks is kept for it.
pub(crate) struct CellStdin(Mutex<State>);

struct State {
    /// None: closed, or never open.
    sender: Option<mpsc::Sender<StdinPiece>>,
    receiver: Option<mpsc::Receiver<StdinPiece>>,
    bytes: u64,
}

impl CellStdin {
    /// One that was given so many bytes already.
    pub(crate) fn open(bytes: u64) -> Self {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (sender, receiver) = (Some(sender), Some(receiver));
        Self(Mutex::new(State { sender, receiver, bytes }))
    }

    pub(crate) fn closed() -> Self {
        Self(Mutex::new(State { sender: None, receiver: None, bytes: 0 }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other end of `feed`, for whoever supervises the code; once.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<StdinPiece>> {
        self.state().receiver.take()
    }

    pub(super) fn close(&self) {
        self.state().sender = None;
    }

    pub(crate) fn feed(&self, input: CellInput) -> Result<(), JobError> {
        let ends = input.eof;
        let data = input.into_bytes();
        let mut state = self.state();
        let bytes = state.bytes + data.len() as u64;
        let Some(sender) = &state.sender else { return Err(JobError::NotReading) };
        if bytes > MAX_STDIN_BYTES {
            return Err(JobError::TooLarge {
                what: "standard input of one cell",
                most: MAX_STDIN_BYTES,
            });
        }
        // Room for the end is kept: it must always get through.
        if sender.capacity() < 2 && !ends {
            return Err(JobError::Full { retry_after_s: 1 });
        }
        if !data.is_empty() {
            sender.try_send(StdinPiece::Data(data)).map_err(refused)?;
        }
        if ends {
            sender.try_send(StdinPiece::End).map_err(refused)?;
            state.sender = None;
        }
        state.bytes = bytes;
        Ok(())
    }
}

fn refused(error: mpsc::error::TrySendError<StdinPiece>) -> JobError {
    match error {
        mpsc::error::TrySendError::Full(_) => JobError::Full { retry_after_s: 1 },
        mpsc::error::TrySendError::Closed(_) => JobError::NotReading,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> CellInput {
        CellInput { text: Some(text.to_owned()), eof: false }
    }

    #[test]
    fn lines_wait_until_the_code_reads_them() {
        let stdin = CellStdin::open(0);
        stdin.feed(line("a")).unwrap();
        stdin.feed(CellInput { text: Some("b".to_owned()), eof: true }).unwrap();
        let mut read = stdin.take().unwrap();
        let mut next = || match read.try_recv() {
            Ok(StdinPiece::Data(data)) => data,
            Ok(StdinPiece::End) => b"end".to_vec(),
            Err(_) => panic!("nothing there"),
        };
        assert_eq!([next(), next(), next()], [&b"a\n"[..], b"b", b"end"]);
        assert!(matches!(stdin.feed(line("c")), Err(JobError::NotReading)));
    }

    #[test]
    fn there_is_an_end_to_what_one_cell_is_given() {
        let stdin = CellStdin::open(MAX_STDIN_BYTES - 2);
        stdin.feed(line("a")).unwrap();
        assert!(matches!(stdin.feed(line("")), Err(JobError::TooLarge { .. })));
        let stdin = CellStdin::open(0);
        let taken = (0..2 * PIECES).take_while(|_| stdin.feed(line("")).is_ok()).count();
        assert_eq!(taken, PIECES - 1);
        stdin.feed(CellInput { text: None, eof: true }).unwrap();
    }

    #[test]
    fn code_without_standard_input_is_not_given_any() {
        assert!(matches!(CellStdin::closed().feed(line("a")), Err(JobError::NotReading)));
        let ended = CellStdin::open(0);
        ended.close();
        assert!(matches!(ended.feed(line("a")), Err(JobError::NotReading)));
    }
}
