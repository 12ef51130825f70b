//! Who waits for what on one link, and the checks that a frame must pass to reach them.

use super::terminals::{TerminalEvent, TerminalRoutes};
use crate::LinkError;
use contracts::link::{
    ExecId, Exited, FileError, FromAgent, RequestId, Stream, Truncation,
    files::{FileNews, MAX_CALLS},
};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// Pieces that may wait for a slow reader of one command; the link stops behind them, and so does
/// the agent: that is the back-pressure.
const EVENTS_IN_FLIGHT: usize = 16;

/// Commands that one sandbox may have at a time. Bounds what a hostile Hello can make us hold.
const MAX_EXECS: usize = 1024;

/// News of a call about files that were asked for and not taken yet, with room for its end.
const NEWS_IN_FLIGHT: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    Started,
    Output {
        stream: Stream,
        data: Vec<u8>,
    },
    /// Always the last.
    Exited(Exited),
}

#[derive(Debug)]
pub(crate) enum FileEvent {
    Piece { path: String, executable: bool, data: Vec<u8>, last: bool },
    Done(Result<Truncation, FileError>),
}

#[derive(Default)]
pub(crate) struct Routes {
    execs: HashMap<ExecId, ExecRoute>,
    requests: HashMap<RequestId, RequestRoute>,
    pub(crate) terminals: TerminalRoutes,
    calls: HashMap<RequestId, mpsc::Sender<FileNews>>,
    pongs: Vec<oneshot::Sender<()>>,
    next_exec: ExecId,
    next_request: RequestId,
    lost: bool,
}

struct ExecRoute {
    events: mpsc::Sender<ExecEvent>,
    /// Bytes of each stream so far, and the most that each may reach.
    seen: Caps,
    caps: Caps,
}

/// Of stdout, stderr and rich results.
pub(crate) type Caps = [u64; 3];

struct RequestRoute {
    events: mpsc::Sender<FileEvent>,
    bytes_left: u64,
}

/// A checked frame and its receiver, handed over outside the table's lock.
pub(crate) enum Delivery {
    Exec(mpsc::Sender<ExecEvent>, ExecEvent),
    File(mpsc::Sender<FileEvent>, FileEvent),
    Terminal(mpsc::Sender<TerminalEvent>, TerminalEvent),
}

impl Delivery {
    /// Waits until the receiver has room. One that went away is no fault of the link's.
    pub(crate) async fn hand_over(self) {
        match self {
            Self::Exec(to, event) => drop(to.send(event).await),
            Self::File(to, event) => drop(to.send(event).await),
            Self::Terminal(to, event) => drop(to.send(event).await),
        }
    }
}

impl Routes {
    /// Registers a command that the agent already knows, and keeps its id from being drawn again.
    pub(crate) fn expect_exec(
        &mut self,
        exec: ExecId,
        caps: Caps,
    ) -> Result<mpsc::Receiver<ExecEvent>, LinkError> {
        if self.execs.len() >= MAX_EXECS || self.execs.contains_key(&exec) {
            return Err(LinkError::Protocol("it has too many commands, or one twice"));
        }
        let (events, receiver) = mpsc::channel(EVENTS_IN_FLIGHT);
        self.execs.insert(exec, ExecRoute { events, seen: [0; 3], caps });
        self.next_exec = self.next_exec.max(exec.wrapping_add(1));
        Ok(receiver)
    }

    pub(crate) fn new_exec(
        &mut self,
        caps: Caps,
    ) -> Result<(ExecId, mpsc::Receiver<ExecEvent>), LinkError> {
        self.alive()?;
        let exec = self.next_exec;
        Ok((exec, self.expect_exec(exec, caps)?))
    }

    pub(crate) fn new_request(
        &mut self,
        max_bytes: u64,
    ) -> Result<(RequestId, mpsc::Receiver<FileEvent>), LinkError> {
        self.alive()?;
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        let (events, receiver) = mpsc::channel(EVENTS_IN_FLIGHT);
        self.requests.insert(request, RequestRoute { events, bytes_left: max_bytes });
        Ok((request, receiver))
    }

    /// A call about a session's files; none when the sandbox has as many as it may have.
    pub(crate) fn new_call(
        &mut self,
    ) -> Result<Option<(RequestId, mpsc::Receiver<FileNews>)>, LinkError> {
        self.alive()?;
        if self.calls.len() >= MAX_CALLS {
            return Ok(None);
        }
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        let (news, receiver) = mpsc::channel(NEWS_IN_FLIGHT);
        self.calls.insert(request, news);
        Ok(Some((request, receiver)))
    }

    pub(crate) fn end_call(&mut self, request: RequestId) {
        self.calls.remove(&request);
    }

    pub(crate) fn expect_pong(&mut self) -> Result<oneshot::Receiver<()>, LinkError> {
        self.alive()?;
        let (sender, receiver) = oneshot::channel();
        self.pongs.push(sender);
        Ok(receiver)
    }

    /// Drops every sender, so that whoever waits sees the end.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        self.execs.clear();
        self.requests.clear();
        self.terminals.lose();
        self.calls.clear();
        self.pongs.clear();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    fn alive(&self) -> Result<(), LinkError> {
        if self.lost { Err(LinkError::Lost) } else { Ok(()) }
    }

    /// Checks a frame. Frames for somebody who stopped waiting are dropped.
    pub(crate) fn route(&mut self, message: FromAgent) -> Result<Option<Delivery>, LinkError> {
        match message {
            FromAgent::Hello { .. } => Err(LinkError::Protocol("it said hello twice")),
            FromAgent::Pong => {
                for pong in self.pongs.drain(..) {
                    // Who asked may have stopped waiting.
                    let _unheard = pong.send(());
                }
                Ok(None)
            }
            FromAgent::Terminals(message) => {
                let delivery = self.terminals.route(message)?;
                Ok(delivery.map(|(to, event)| Delivery::Terminal(to, event)))
            }
            FromAgent::Started { exec } => Ok(self
                .execs
                .get(&exec)
                .map(|route| Delivery::Exec(route.events.clone(), ExecEvent::Started))),
            FromAgent::Output { exec, stream, offset, data } => {
                let Some(route) = self.execs.get_mut(&exec) else {
                    return Ok(None);
                };
                let seen = &mut route.seen[stream as usize];
                if offset != *seen {
                    return Err(LinkError::Protocol("output does not continue where it stopped"));
                }
                *seen += data.len() as u64;
                if *seen > route.caps[stream as usize] {
                    return Err(LinkError::Protocol("output beyond its cap"));
                }
                Ok(Some(Delivery::Exec(route.events.clone(), ExecEvent::Output { stream, data })))
            }
            FromAgent::Exited { exec, exited } => Ok(self
                .execs
                .remove(&exec)
                .map(|route| Delivery::Exec(route.events, ExecEvent::Exited(exited)))),
            FromAgent::File { request, path, executable, data, last } => {
                let Some(route) = self.requests.get_mut(&request) else {
                    return Ok(None);
                };
                // The path counts too: files without content must not be free.
                let size = (data.len() + path.len() + 1) as u64;
                route.bytes_left = route.bytes_left.checked_sub(size).ok_or(LinkError::TooMuch)?;
                let piece = FileEvent::Piece { path, executable, data, last };
                Ok(Some(Delivery::File(route.events.clone(), piece)))
            }
            FromAgent::Done { request, outcome } => Ok(self
                .requests
                .remove(&request)
                .map(|route| Delivery::File(route.events, FileEvent::Done(outcome)))),
            FromAgent::Files { request, news } => {
                let Some(route) = self.calls.get(&request) else {
                    return Ok(None);
                };
                // It sends what it was asked for, and for that there is room: nobody waits here.
                match route.try_send(news) {
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        Err(LinkError::Protocol("it tells more of a file than it was asked for"))
                    }
                    // Who asked may have gone away.
                    _ => Ok(None),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(exec: ExecId, offset: u64, bytes: usize) -> FromAgent {
        FromAgent::Output { exec, stream: Stream::Stdout, offset, data: vec![b'x'; bytes] }
    }

    #[test]
    fn output_must_continue_where_it_stopped() {
        let mut routes = Routes::default();
        let (exec, _events) = routes.new_exec([100; 3]).unwrap();
        assert!(routes.route(output(exec, 0, 10)).is_ok());
        assert!(routes.route(output(exec, 0, 10)).is_err());
    }

    #[test]
    fn output_beyond_the_cap_ends_the_link() {
        let mut routes = Routes::default();
        let (exec, _events) = routes.new_exec([10; 3]).unwrap();
        assert!(routes.route(output(exec, 0, 11)).is_err());
    }

    #[test]
    fn frames_for_a_command_that_nobody_started_are_dropped() {
        let mut routes = Routes::default();
        assert!(matches!(routes.route(output(7, 0, 10)), Ok(None)));
    }

    #[test]
    fn a_collect_that_sends_more_than_was_asked_for_ends_the_link() {
        let mut routes = Routes::default();
        let (request, _events) = routes.new_request(8).unwrap();
        let piece = FromAgent::File {
            request,
            path: "a".into(),
            executable: false,
            data: vec![0; 9],
            last: true,
        };
        assert!(matches!(routes.route(piece), Err(LinkError::TooMuch)));
    }

    #[test]
    fn news_that_nobody_asked_for_ends_the_link() {
        let mut routes = Routes::default();
        let (request, _news) = routes.new_call().unwrap().unwrap();
        let mut told = || routes.route(FromAgent::Files { request, news: FileNews::Watching });
        for _ in 0..NEWS_IN_FLIGHT {
            assert!(told().is_ok());
        }
        assert!(told().is_err());
    }

    #[test]
    fn after_the_loss_nothing_new_begins() {
        let mut routes = Routes::default();
        routes.lose();
        assert!(routes.new_exec([1; 3]).is_err());
        assert!(routes.new_request(1).is_err());
        assert!(routes.expect_pong().is_err());
    }
}
