//! Who looks at which terminal on one link, and the checks that its frames must pass.

use crate::LinkError;
use contracts::{
    TerminalId,
    link::{
        End,
        terminal::{FromTerminals, INPUT_BYTES, MAX_TERMINALS, TerminalStatus, WINDOW_BYTES},
    },
};
use std::collections::HashMap;
use tokio::sync::mpsc;

/// More than a window of output in the smallest pieces that an honest agent makes of it; beyond, the
/// link waits.
const EVENTS_IN_FLIGHT: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalEvent {
    /// Continues what came before.
    Output(Vec<u8>),
    /// So much of the input was taken, in all.
    Taken(u64),
    Ended(End),
}

#[derive(Default)]
pub(crate) struct TerminalRoutes(HashMap<TerminalId, Route>);

struct Route {
    events: mpsc::Sender<TerminalEvent>,
    /// Where the next output must begin, and where it must end.
    at: u64,
    limit: u64,
    given: u64,
    taken: u64,
}

pub(crate) type Delivery = (mpsc::Sender<TerminalEvent>, TerminalEvent);

impl TerminalRoutes {
    pub(crate) fn expect(
        &mut self,
        status: &TerminalStatus,
    ) -> Result<mpsc::Receiver<TerminalEvent>, LinkError> {
        let TerminalStatus { terminal, from, given, taken, .. } = status;
        let sane = *taken <= *given && *given - *taken <= INPUT_BYTES;
        let Some(limit) = from.checked_add(WINDOW_BYTES).filter(|_| sane) else {
            return Err(LinkError::Protocol("it has a terminal that can't be"));
        };
        if self.0.len() >= MAX_TERMINALS || self.0.contains_key(terminal) {
            return Err(LinkError::Protocol("it has too many terminals, or one twice"));
        }
        let (events, receiver) = mpsc::channel(EVENTS_IN_FLIGHT);
        let route = Route { events, at: *from, limit, given: *given, taken: *taken };
        self.0.insert(terminal.clone(), route);
        Ok(receiver)
    }

    /// Notes that more output may come; before the agent is told so.
    pub(crate) fn seen(&mut self, terminal: &TerminalId, to: u64) {
        if let Some(route) = self.0.get_mut(terminal) {
            route.limit = route.limit.max(to.min(route.at) + WINDOW_BYTES);
        }
    }

    pub(crate) fn gave(&mut self, terminal: &TerminalId, bytes: u64) {
        if let Some(route) = self.0.get_mut(terminal) {
            route.given += bytes;
        }
    }

    pub(crate) fn forget(&mut self, terminal: &TerminalId) {
        self.0.remove(terminal);
    }

    pub(crate) fn lose(&mut self) {
        self.0.clear();
    }

    /// Checks a frame. Frames of a terminal that was forgotten are dropped.
    pub(crate) fn route(&mut self, message: FromTerminals) -> Result<Option<Delivery>, LinkError> {
        let (FromTerminals::Output { terminal, .. }
        | FromTerminals::Taken { terminal, .. }
        | FromTerminals::Ended { terminal, .. }) = &message;
        let Some(route) = self.0.get_mut(terminal) else { return Ok(None) };
        let event = match message {
            FromTerminals::Output { at, data, .. } => {
                let end = at.checked_add(data.len() as u64).filter(|end| *end <= route.limit);
                let Some(end) = end.filter(|_| at == route.at) else {
                    return Err(LinkError::Protocol("a terminal's output is out of its place"));
                };
                route.at = end;
                TerminalEvent::Output(data)
            }
            FromTerminals::Taken { bytes, .. } => {
                if bytes < route.taken || bytes > route.given {
                    return Err(LinkError::Protocol("it took input that it was not given"));
                }
                route.taken = bytes;
                TerminalEvent::Taken(bytes)
            }
            FromTerminals::Ended { end, .. } => TerminalEvent::Ended(end),
        };
        Ok(Some((route.events.clone(), event)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::link::terminal::Size;

    fn id() -> TerminalId {
        TerminalId::new("t").unwrap()
    }

    fn status(from: u64) -> TerminalStatus {
        let size = Size { rows: 1, cols: 1 };
        TerminalStatus { terminal: id(), from, given: 0, taken: 0, size }
    }

    fn output(at: u64, bytes: usize) -> FromTerminals {
        FromTerminals::Output { terminal: id(), at, data: vec![b'x'; bytes] }
    }

    #[test]
    fn output_continues_and_stays_within_its_window() {
        let mut routes = TerminalRoutes::default();
        let _events = routes.expect(&status(5)).unwrap();
        assert!(routes.route(output(5, 10)).is_ok());
        assert!(routes.route(output(5, 1)).is_err());
        let window = WINDOW_BYTES as usize;
        assert!(routes.route(output(15, window)).is_err());
        routes.seen(&id(), 15);
        assert!(routes.route(output(15, window)).is_ok());
    }

    #[test]
    fn nothing_is_taken_that_was_not_given() {
        let mut routes = TerminalRoutes::default();
        let _events = routes.expect(&status(0)).unwrap();
        let taken = |bytes| FromTerminals::Taken { terminal: id(), bytes };
        assert!(routes.route(taken(1)).is_err());
        routes.gave(&id(), 2);
        assert!(routes.route(taken(2)).is_ok());
        assert!(routes.route(taken(1)).is_err());
    }

    #[test]
    fn a_hello_can_not_have_terminals_without_end() {
        let mut routes = TerminalRoutes::default();
        let _events = routes.expect(&status(0)).unwrap();
        assert!(routes.expect(&status(0)).is_err());
        let other = |from, given, taken| TerminalStatus {
            terminal: TerminalId::new("u").unwrap(),
            given,
            taken,
            ..status(from)
        };
        assert!(routes.expect(&other(u64::MAX, 0, 0)).is_err());
        assert!(routes.expect(&other(0, 1, 2)).is_err());
        assert!(routes.expect(&other(0, u64::MAX, 0)).is_err());
    }
}
