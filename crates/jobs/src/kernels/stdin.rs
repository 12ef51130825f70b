//! Standard input of one cell: what was sent for it and waits until the code reads it.

use crate::JobError;
use contracts::{
    code::{CellInput, ExecuteRequest},
    link::{ExecId, kernel::MAX_STDIN_BYTES},
};
use executor::{Fed, LinkError, Sandbox};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::sync::Mutex;

/// What an agent may take to say that it has something.
const PROOF: Duration = Duration::from_secs(10);

/// How long a line waits for programs that leave too much of their input unread.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `Retry-After` says then: programs read when they like.
const RETRY_AFTER_S: u64 = 1;

/// As on a terminal, what comes before the code asks is kept for it.
pub(crate) struct CellStdin {
    state: Mutex<State>,
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    open: bool,
    /// The whole of it so far.
    bytes: u64,
    /// What came before the code began.
    waiting: Vec<u8>,
    /// Once it runs.
    exec: Option<ExecId>,
}

impl CellStdin {
    /// Of a cell that has not begun.
    pub(super) fn of(request: &ExecuteRequest) -> Self {
        let waiting = request.stdin.clone().unwrap_or_default().into_bytes();
        let bytes = waiting.len() as u64;
        Self::new(State { open: request.stdin_open, bytes, waiting, exec: None })
    }

    /// Of a cell of an earlier life of the node, which was given so many bytes already and can be
    /// given more, or can't.
    pub(super) fn taken_up(exec: ExecId, bytes: Option<u64>) -> Self {
        let state = State { open: bytes.is_some(), bytes: bytes.unwrap_or(0), ..State::default() };
        Self::new(State { exec: Some(exec), ..state })
    }

    fn new(state: State) -> Self {
        Self { state: Mutex::new(state), ended: AtomicBool::new(false) }
    }

    pub(super) fn close(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The code begins: it gets what came before.
    pub(super) async fn begin(&self, sandbox: &Sandbox, exec: ExecId) -> Result<(), LinkError> {
        let mut state = self.state.lock().await;
        state.exec = Some(exec);
        let waiting = std::mem::take(&mut state.waiting);
        sandbox.stdin(exec, &waiting).await?;
        // For code that was given nothing this says nothing new.
        if state.open { Ok(()) } else { sandbox.end_stdin(exec).await }
    }

    /// Returns when the agent has it, so that the death of the node loses nothing that was taken; or
    /// takes nothing of it.
    pub(super) async fn feed(&self, sandbox: &Sandbox, input: CellInput) -> Result<(), JobError> {
        let unread = JobError::Unread { retry_after_s: RETRY_AFTER_S };
        // Who began with much to read may hold it until another program reads.
        let state = tokio::time::timeout(PATIENCE, self.state.lock()).await;
        let Ok(mut state) = state else { return Err(unread) };
        if !state.open || self.ended.load(Ordering::Relaxed) {
            return Err(JobError::NotReading);
        }
        let ends = input.eof;
        let data = input.into_bytes();
        let bytes = state.bytes + data.len() as u64;
        if bytes > MAX_STDIN_BYTES {
            let what = "standard input of one cell";
            return Err(JobError::TooLarge { what, most: MAX_STDIN_BYTES });
        }
        match state.exec {
            None => state.waiting.extend(data),
            Some(exec) => {
                let fed = sandbox.stdin_at_once(exec, &data, ends, PATIENCE);
                let fed = tokio::time::timeout(PROOF, fed).await;
                if fed.map_err(|late| JobError::fault("link", late))?? == Fed::Nothing {
                    return Err(unread);
                }
            }
        }
        (state.bytes, state.open) = (bytes, !ends);
        Ok(())
    }
}
