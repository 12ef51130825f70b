//! Terminals in sessions: made, looked at by several, and ended.
//!
//! ```text
//!   open ─► runs ──attach, detach, attach …──► runs ──exit──► ended (kept until it is forgotten)
//!             └───────────── end, or the session's end ─────────► gone
//! ```

mod live;

use super::{LiveSession, busy::Busy, exec};
use crate::{JobError, Node, sandboxes::draw_bytes};
use bytes::Bytes;
use contracts::{
    Faults, SessionId, TerminalId, Version,
    link::{
        Command, End,
        terminal::{MAX_TERMINALS, TerminalStatus},
    },
    session::{ExecRequest, SessionEnd},
    terminal::{TerminalControl, TerminalExit, TerminalList, TerminalRequest, TerminalView},
};
use executor::{TerminalEvent, TerminalEvents};
use live::{LiveTerminal, Next, TerminalEnd};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Terminals of one session on which something runs, and with those that ended.
const MAX_RUNNING: usize = 4;
const MAX_KEPT: usize = MAX_TERMINALS;

/// Who may look at one terminal at a time.
const MAX_LOOKERS: usize = 8;

/// What most programs know, and every viewer understands most of.
const TERM: &str = "xterm-256color";

/// The best shell of the image.
const SHELL: [&str; 3] = ["sh", "-c", "command -v bash >/dev/null && exec bash || exec sh"];

#[derive(Default)]
pub(super) struct Terminals(Mutex<VecDeque<Arc<LiveTerminal>>>);

/// Somebody who looks at a terminal. Dropped, it looks no more.
pub struct Attachment {
    session: Arc<LiveSession>,
    terminal: Arc<LiveTerminal>,
    number: u64,
    from: u64,
    leaving: CancellationToken,
    _busy: Busy,
}

/// What somebody who looks is told.
#[derive(Debug, PartialEq, Eq)]
pub enum TerminalNews {
    Output(Bytes),
    /// Output was left out; it goes on at this position.
    Gap(u64),
    Exit(TerminalExit),
    /// The session has ended.
    Lost,
    /// The node goes away. Its next life has the terminal.
    Left,
}

impl Terminals {
    fn all(&self) -> MutexGuard<'_, VecDeque<Arc<LiveTerminal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &TerminalId) -> Result<Arc<LiveTerminal>, JobError> {
        let found = self.all().iter().find(|terminal| terminal.id == *id).cloned();
        found.ok_or(JobError::NotFound("terminal"))
    }

    /// Takes a terminal in, in place of the oldest that ended if there are too many.
    fn add(&self, terminal: &Arc<LiveTerminal>) -> Result<Option<Arc<LiveTerminal>>, JobError> {
        let mut all = self.all();
        if all.iter().filter(|terminal| !terminal.has_ended()).count() >= MAX_RUNNING {
            let mut faults = Faults::default();
            faults.add("session", format!("has {MAX_RUNNING} terminals already, the most it may"));
            return Err(JobError::Refused(faults));
        }
        let ended = all.iter().position(|terminal| terminal.has_ended());
        let oldest = ended.filter(|_| all.len() >= MAX_KEPT).and_then(|at| all.remove(at));
        all.push_back(Arc::clone(terminal));
        Ok(oldest)
    }

    fn remove(&self, id: &TerminalId) {
        self.all().retain(|terminal| terminal.id != *id);
    }
}

impl Node {
    pub async fn open_terminal(
        &self,
        id: &SessionId,
        request: TerminalRequest,
    ) -> Result<TerminalView, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let session = self.code_session(id).await?;
        let _busy = Busy::begin(&session).await?;
        let size = request.size();
        let terminal_id = TerminalId::from_random(draw_bytes()?);
        let terminal = Arc::new(LiveTerminal::new(terminal_id.clone(), size, 0, 0, 0));
        if let Some(oldest) = session.terminals.add(&terminal)? {
            session.sandbox.end_terminal(&oldest.id).await?;
        }
        let command = command(&session, request);
        let started = session.sandbox.start_terminal(terminal_id.clone(), command, size).await;
        match started {
            Ok(events) => self.look_after(&session, &terminal, events),
            Err(error) => {
                session.terminals.remove(&terminal_id);
                session.ask_to_end(SessionEnd::Lost);
                return Err(error.into());
            }
        }
        Ok(terminal.view())
    }

    pub async fn terminals(&self, id: &SessionId) -> Result<TerminalList, JobError> {
        let session = self.code_session(id).await?;
        let terminals = session.terminals.all().iter().map(|terminal| terminal.view()).collect();
        Ok(TerminalList { terminals })
    }

    pub async fn terminal(
        &self,
        id: &SessionId,
        terminal: &TerminalId,
    ) -> Result<TerminalView, JobError> {
        Ok(self.code_session(id).await?.terminals.get(terminal)?.view())
    }

    /// Kills what runs on a terminal, and forgets what it wrote.
    pub async fn end_terminal(
        &self,
        id: &SessionId,
        terminal: &TerminalId,
    ) -> Result<(), JobError> {
        let session = self.code_session(id).await?;
        let terminal = session.terminals.get(terminal)?;
        let _busy = Busy::begin(&session).await?;
        session.end_terminal(&terminal).await
    }

    /// Begins to look at a terminal, from a position of its output or from all that is kept.
    pub async fn attach(
        &self,
        id: &SessionId,
        terminal: &TerminalId,
        from: Option<u64>,
    ) -> Result<Attachment, JobError> {
        let session = self.code_session(id).await?;
        let terminal = session.terminals.get(terminal)?;
        let _busy = Busy::begin(&session).await?;
        let attached = terminal.attach(from, MAX_LOOKERS);
        let (number, from) = attached.ok_or(JobError::Full { retry_after_s: 5 })?;
        let leaving = self.inner.leaving.clone();
        Ok(Attachment { session, terminal, number, from, leaving, _busy })
    }

    fn look_after(
        &self,
        session: &Arc<LiveSession>,
        terminal: &Arc<LiveTerminal>,
        events: TerminalEvents,
    ) {
        let (session, terminal) = (Arc::clone(session), Arc::clone(terminal));
        let leaving = self.inner.leaving.clone();
        self.inner.tasks.spawn(keep(session, terminal, events, leaving));
    }

    /// The terminals of an earlier life of the node go on.
    pub(super) fn take_up_terminals(&self, session: &Arc<LiveSession>) {
        for (status, events) in session.sandbox.adopted_terminals() {
            let TerminalStatus { terminal, from, given, taken, size } = status;
            let terminal = Arc::new(LiveTerminal::new(terminal, size, from, given, taken));
            session.terminals.all().push_back(Arc::clone(&terminal));
            self.look_after(session, &terminal, events);
        }
    }
}

impl LiveSession {
    async fn end_terminal(&self, terminal: &LiveTerminal) -> Result<(), JobError> {
        self.terminals.remove(&terminal.id);
        // First: behind the end of its events it would be told as lost.
        terminal.take(TerminalEvent::Ended(End::Signal(SIGKILL)));
        Ok(self.sandbox.end_terminal(&terminal.id).await?)
    }
}

const SIGKILL: i32 = 9;

fn command(session: &LiveSession, request: TerminalRequest) -> Command {
    let command = match request.command.as_slice() {
        [] => SHELL.map(str::to_owned).to_vec(),
        _ => request.command,
    };
    let mut env = BTreeMap::from([("TERM".to_owned(), TERM.to_owned())]);
    env.extend(request.env);
    let exec = ExecRequest { version: Version, command, env, stdin: None, timeout_seconds: None };
    exec::command(session, &exec, 0)
}

/// Takes in what comes from a terminal until it is gone.
async fn keep(
    session: Arc<LiveSession>,
    terminal: Arc<LiveTerminal>,
    mut events: TerminalEvents,
    leaving: CancellationToken,
) {
    let mut changed = terminal.watch();
    loop {
        let (seen, again) = terminal.seen(Instant::now());
        if let Some(to) = seen {
            // A lost link shows itself by the next event.
            let _lost = session.sandbox.seen_of_terminal(&terminal.id, to).await;
        }
        tokio::select! {
            () = leaving.cancelled() => return,
            event = events.recv() => match event {
                Some(event) => terminal.take(event),
                None => return terminal.lose(),
            },
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
        }
    }
}

impl Attachment {
    pub fn id(&self) -> &TerminalId {
        &self.terminal.id
    }

    /// The position at which the output begins.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// What comes next; to be asked for when what came before has been told.
    pub async fn next(&self) -> TerminalNews {
        let mut changed = self.terminal.watch();
        loop {
            match self.terminal.next(self.number) {
                Next::Output(data) => return TerminalNews::Output(data),
                Next::Gap(at) => return TerminalNews::Gap(at),
                Next::End(TerminalEnd::Exit(exit)) => return TerminalNews::Exit(exit),
                Next::End(TerminalEnd::Lost) => return TerminalNews::Lost,
                Next::Nothing => {}
            }
            tokio::select! {
                () = self.leaving.cancelled() => return TerminalNews::Left,
                _ = changed.changed() => {}
            }
        }
    }

    /// Types; waits while the program takes nothing.
    pub async fn input(&self, mut data: &[u8]) -> Result<(), JobError> {
        let mut changed = self.terminal.watch();
        while !data.is_empty() && !self.terminal.has_ended() {
            let (now, later) = data.split_at(self.terminal.room(data.len()));
            if now.is_empty() {
                if changed.changed().await.is_err() {
                    break;
                }
                continue;
            }
            self.session.sandbox.type_into(&self.terminal.id, now).await?;
            data = later;
        }
        Ok(())
    }

    pub async fn control(&self, control: TerminalControl) -> Result<(), JobError> {
        control.validate().map_err(JobError::Invalid)?;
        let (sandbox, id) = (&self.session.sandbox, &self.terminal.id);
        match control {
            TerminalControl::Resize(size) => {
                self.terminal.resized(size);
                sandbox.resize_terminal(id, size).await?;
            }
            TerminalControl::Signal(signal) => {
                sandbox.signal_terminal(id, signal.number()).await?;
            }
        }
        Ok(())
    }

    /// Ends the terminal itself.
    pub async fn end(&self) -> Result<(), JobError> {
        self.session.end_terminal(&self.terminal).await
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.terminal.detach(self.number);
    }
}
