//! Watching one command: its output as it comes, its deadline, its cancellation, its end.
//!
//! ```text
//!   running ──deadline or cancel──► TERM ──grace──► KILL by the agent ──1 s──► KILL from outside
//!      │                              │                   │                          │
//!      └──────────────────────────────┴──── Exited ───────┴──────────────────────────┴─► end
//! ```

use crate::{live::StdinPiece, outcome::Intent};
use contracts::link::{Exited, Stream};
use executor::{Exec, ExecEvent, Sandbox};
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub(crate) const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// What the agent may take to kill and to tell, before the host does it over its head.
const AGENT_KILL: Duration = Duration::from_secs(1);

/// What the link may take to notice that its agent was killed.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(crate) struct Watch<'a> {
    pub(crate) sandbox: &'a Sandbox,
    /// The signal that asks it to end before it is killed.
    pub(crate) ask: i32,
    pub(crate) deadline: Instant,
    pub(crate) term_grace: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) leaving: &'a CancellationToken,
    pub(crate) stdin: Option<mpsc::Receiver<StdinPiece>>,
}

pub(crate) enum End {
    Exited(Exited, Option<Intent>),
    /// The agent fell silent.
    Lost(Option<Intent>),
    /// The node goes away and the command stays.
    Left,
}

/// How far we went to end the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Term,
    Kill,
    Outside,
}

impl Watch<'_> {
    pub(crate) async fn until_end(
        mut self,
        exec: &mut Exec,
        mut wrote: impl FnMut(Stream, &[u8]),
    ) -> End {
        let mut stage = Stage::Running;
        let mut intent = None;
        // The moment at which the next stage begins; far away while there is none.
        let mut next = self.deadline;
        loop {
            tokio::select! {
                biased;
                event = exec.next() => match event {
                    Some(ExecEvent::Started) => {}
                    Some(ExecEvent::Output { stream, data }) => wrote(stream, &data),
                    Some(ExecEvent::Exited(exited)) => return End::Exited(exited, intent),
                    None => return End::Lost(intent),
                },
                () = self.leaving.cancelled() => return End::Left,
                () = self.cancel.cancelled(), if stage == Stage::Running => {
                    intent = Some(Intent::Cancel);
                    stage = self.ask_to_end(exec).await;
                    next = Instant::now() + self.stop_grace;
                }
                () = sleep_until(next) => match stage {
                    Stage::Running => {
                        intent = Some(Intent::Deadline);
                        stage = self.ask_to_end(exec).await;
                        next = Instant::now() + self.term_grace;
                    }
                    Stage::Term => {
                        // A lost link shows itself in the command's events.
                        let _shown = self.sandbox.signal(exec.id(), SIGKILL).await;
                        stage = Stage::Kill;
                        next = Instant::now() + AGENT_KILL;
                    }
                    Stage::Kill => {
                        tracing::warn!(sandbox = %self.sandbox.id(), "killed from outside");
                        if let Err(error) = self.sandbox.kill().await {
                            tracing::error!(error = %crate::chain(&error), "the kill failed");
                        }
                        stage = Stage::Outside;
                        next = Instant::now() + LAST_WORDS;
                    }
                    Stage::Outside => return End::Lost(intent),
                },
                piece = read(&mut self.stdin) => self.feed(exec, piece).await,
            }
        }
    }

    async fn ask_to_end(&self, exec: &Exec) -> Stage {
        let _shown_in_the_events = self.sandbox.signal(exec.id(), self.ask).await;
        Stage::Term
    }

    async fn feed(&mut self, exec: &Exec, piece: Option<StdinPiece>) {
        let sent = match piece {
            Some(StdinPiece::Data(data)) => self.sandbox.stdin(exec.id(), &data).await,
            Some(StdinPiece::End) | None => {
                self.stdin = None;
                self.sandbox.end_stdin(exec.id()).await
            }
        };
        if sent.is_err() {
            self.stdin = None;
        }
    }
}

/// The next piece; never, when there is no standard input to feed.
async fn read(stdin: &mut Option<mpsc::Receiver<StdinPiece>>) -> Option<StdinPiece> {
    match stdin {
        Some(stdin) => stdin.recv().await,
        None => std::future::pending().await,
    }
}
