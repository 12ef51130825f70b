//! One terminal as the node has it: the last of its output for whoever looks, and who does.
//!
//! A program on a terminal is held up by who looks at it, and by nobody else: output goes on as fast
//! as the fastest of those who look takes it. Who falls behind what is kept is told of a gap, and who
//! takes nothing for long does not count.

use bytes::Bytes;
use contracts::{
    TerminalId,
    link::{
        End,
        terminal::{INPUT_BYTES, SCROLLBACK_BYTES, Size, WINDOW_BYTES},
    },
    terminal::{TerminalExit, TerminalView},
};
use executor::TerminalEvent;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

/// Output that one look takes at a time.
const PIECE_BYTES: usize = 16 << 10;

/// Who takes nothing for so long holds nobody up any more.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct LiveTerminal {
    pub(super) id: TerminalId,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

struct State {
    kept: VecDeque<u8>,
    from: u64,
    /// What the agent was told that we have.
    seen: u64,
    size: Size,
    since: OffsetDateTime,
    end: Option<TerminalEnd>,
    lookers: BTreeMap<u64, Looker>,
    next_looker: u64,
    given: u64,
    taken: u64,
}

struct Looker {
    /// Has it, or gets it now, up to here.
    at: u64,
    moved: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TerminalEnd {
    Exit(TerminalExit),
    /// With its session.
    Lost,
}

/// What there is for who looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Output(Bytes),
    /// Output was left out; it goes on here.
    Gap(u64),
    End(TerminalEnd),
    Nothing,
}

impl LiveTerminal {
    /// One whose output begins at `from`, with input that an earlier life of the node gave it.
    pub(super) fn new(id: TerminalId, size: Size, from: u64, given: u64, taken: u64) -> Self {
        let state = State {
            kept: VecDeque::new(),
            from,
            seen: from,
            size,
            since: OffsetDateTime::now_utc(),
            end: None,
            lookers: BTreeMap::new(),
            next_looker: 0,
            given,
            taken,
        };
        Self { id, state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.send_replace(());
        changed
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn take(&self, event: TerminalEvent) {
        self.change(|state| match event {
            TerminalEvent::Output(data) => state.keep(&data),
            TerminalEvent::Taken(bytes) => state.taken = bytes,
            TerminalEvent::Ended(end) => state.end = Some(TerminalEnd::Exit(exit(&end))),
        });
    }

    pub(super) fn lose(&self) {
        self.change(|state| *state.end.get_or_insert(TerminalEnd::Lost));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().end.is_some()
    }

    pub(super) fn resized(&self, size: Size) {
        self.state().size = size;
    }

    pub(super) fn view(&self) -> TerminalView {
        let state = self.state();
        TerminalView {
            terminal_id: self.id.clone(),
            exit: match state.end {
                Some(TerminalEnd::Exit(exit)) => Some(exit),
                _ => None,
            },
            rows: state.size.rows,
            cols: state.size.cols,
            from: state.from,
            to: state.to(),
            attached: state.lookers.len(),
            since: state.since,
        }
    }

    /// Where the agent is to be told that we are, if that is news to it, and when to ask again if
    /// nothing happens before.
    pub(super) fn seen(&self, now: Instant) -> (Option<u64>, Option<Instant>) {
        let mut state = self.state();
        let active = state.lookers.values().filter(|looker| now < looker.moved + PATIENCE);
        let to = active.map(|looker| looker.at).max().unwrap_or(state.to());
        let waits = to < state.to();
        let again = state.lookers.values().map(|looker| looker.moved + PATIENCE).max();
        // A window in quarters: often enough to keep it open, and not for every byte.
        let news = to > state.seen && (to - state.seen >= WINDOW_BYTES / 4 || !waits);
        if news {
            state.seen = to;
        }
        (news.then_some(to), again.filter(|at| waits && *at > now))
    }

    /// Begins to look, and says from where. `None` when there are too many.
    pub(super) fn attach(&self, from: Option<u64>, most: usize) -> Option<(u64, u64)> {
        self.change(|state| {
            if state.lookers.len() >= most {
                return None;
            }
            let at = from.unwrap_or(state.from).clamp(state.from, state.to());
            let number = state.next_looker;
            state.next_looker += 1;
            state.lookers.insert(number, Looker { at, moved: Instant::now() });
            Some((number, at))
        })
    }

    pub(super) fn detach(&self, number: u64) {
        self.change(|state| state.lookers.remove(&number));
    }

    /// The next piece for one who has what came before it.
    pub(super) fn next(&self, number: u64) -> Next {
        let mut guard = self.state();
        let state = &mut *guard;
        let to = state.to();
        let Some(looker) = state.lookers.get_mut(&number) else { return Next::Nothing };
        if looker.at < state.from {
            looker.at = state.from;
            looker.moved = Instant::now();
            return Next::Gap(state.from);
        }
        if looker.at == to {
            return state.end.map_or(Next::Nothing, Next::End);
        }
        let start = (looker.at - state.from) as usize;
        let end = state.kept.len().min(start + PIECE_BYTES);
        let piece: Bytes = state.kept.range(start..end).copied().collect();
        looker.at += piece.len() as u64;
        looker.moved = Instant::now();
        drop(guard);
        self.changed.send_replace(());
        Next::Output(piece)
    }

    /// How many bytes may be typed now; counted as given.
    pub(super) fn room(&self, most: usize) -> usize {
        let mut state = self.state();
        let under_way = state.given - state.taken;
        let room = INPUT_BYTES.saturating_sub(under_way).min(most as u64);
        state.given += room;
        room as usize
    }
}

impl State {
    fn to(&self) -> u64 {
        self.from + self.kept.len() as u64
    }

    fn keep(&mut self, data: &[u8]) {
        self.kept.extend(data);
        let over = self.kept.len().saturating_sub(SCROLLBACK_BYTES);
        self.kept.drain(..over);
        self.from += over as u64;
    }
}

/// A program that could not be run is told as a shell tells it.
fn exit(end: &End) -> TerminalExit {
    match end {
        End::Code(code) => TerminalExit::Code(*code),
        End::Signal(signal) => TerminalExit::Signal(*signal),
        End::NotExecuted { errno: 2, .. } => TerminalExit::Code(127),
        End::NotExecuted { .. } | End::Kernel { .. } | End::NoKernel => TerminalExit::Code(126),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> LiveTerminal {
        let size = Size { rows: 1, cols: 1 };
        LiveTerminal::new(TerminalId::new("t").unwrap(), size, 0, 0, 0)
    }

    fn wrote(terminal: &LiveTerminal, bytes: u64) {
        terminal.take(TerminalEvent::Output(vec![b'x'; bytes as usize]));
    }

    fn read(terminal: &LiveTerminal, number: u64) -> u64 {
        let mut bytes = 0;
        while let Next::Output(piece) = terminal.next(number) {
            bytes += piece.len() as u64;
        }
        bytes
    }

    #[test]
    fn nobody_who_looks_holds_nobody_up() {
        let terminal = terminal();
        wrote(&terminal, 100);
        assert_eq!(terminal.seen(Instant::now()), (Some(100), None));
        assert_eq!(terminal.seen(Instant::now()), (None, None));
    }

    #[test]
    fn output_goes_on_as_fast_as_the_fastest_takes_it() {
        let terminal = terminal();
        let (fast, _) = terminal.attach(None, 2).unwrap();
        terminal.attach(None, 2).unwrap();
        assert_eq!(terminal.attach(None, 2), None);
        wrote(&terminal, WINDOW_BYTES);
        assert_eq!(terminal.seen(Instant::now()).0, None);
        assert_eq!(read(&terminal, fast), WINDOW_BYTES);
        assert_eq!(terminal.seen(Instant::now()).0, Some(WINDOW_BYTES));
    }

    #[test]
    fn who_takes_nothing_for_long_holds_nobody_up() {
        let terminal = terminal();
        terminal.attach(None, 1).unwrap();
        wrote(&terminal, WINDOW_BYTES);
        let now = Instant::now();
        let (seen, again) = terminal.seen(now);
        assert!(seen.is_none() && again.is_some_and(|at| at <= now + PATIENCE));
        assert_eq!(terminal.seen(now + PATIENCE), (Some(WINDOW_BYTES), None));
    }

    #[test]
    fn who_falls_behind_what_is_kept_is_told_of_it() {
        let terminal = terminal();
        let (number, at) = terminal.attach(None, 1).unwrap();
        assert_eq!(at, 0);
        wrote(&terminal, SCROLLBACK_BYTES as u64);
        wrote(&terminal, 5);
        assert_eq!(terminal.next(number), Next::Gap(5));
        assert_eq!(read(&terminal, number), SCROLLBACK_BYTES as u64);
        assert_eq!(terminal.next(number), Next::Nothing);
        terminal.take(TerminalEvent::Ended(End::Code(3)));
        let end = TerminalEnd::Exit(TerminalExit::Code(3));
        assert_eq!(terminal.next(number), Next::End(end));
        // Whoever comes back sees what was missed.
        let (again, at) = terminal.attach(Some(SCROLLBACK_BYTES as u64), 2).unwrap();
        assert_eq!((at, read(&terminal, again)), (SCROLLBACK_BYTES as u64, 5));
    }

    #[test]
    fn input_waits_for_room() {
        let terminal = terminal();
        assert_eq!(terminal.room(1 << 20), INPUT_BYTES as usize);
        assert_eq!(terminal.room(1), 0);
        terminal.take(TerminalEvent::Taken(10));
        assert_eq!(terminal.room(20), 10);
    }
}
