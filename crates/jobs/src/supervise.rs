//! Watching one command: its output as it comes, its deadline, its cancellation, its end.
//!
//! ```text
//!   running ──deadline or cancel──► TERM ──grace──► KILL by the agent ──1 s──► KILL from outside
//!      │                              │                   │                          │
//!      └──────────────────────────────┴──── Exited ───────┴──────────────────────────┴─► end
//! ```

use crate::outcome::Intent;
use contracts::link::{Exited, Stream};
use executor::{Exec, ExecEvent, LinkError, Sandbox};
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, sleep_until};
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
    pub(crate) feeding: Option<Feeding<'a>>,
}

/// What a command is given to read. It waits for who reads nothing, and nothing else waits with it.
pub(crate) type Feeding<'a> = Pin<Box<dyn Future<Output = Result<(), LinkError>> + Send + 'a>>;

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
                    stage = ask_to_end(self.sandbox, exec, self.ask).await;
                    next = Instant::now() + self.stop_grace;
                }
                () = sleep_until(next) => match stage {
                    Stage::Running => {
                        intent = Some(Intent::Deadline);
                        stage = ask_to_end(self.sandbox, exec, self.ask).await;
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
                // A lost link shows itself in the command's events.
                _fed = all_of(&mut self.feeding) => self.feeding = None,
            }
        }
    }
}

async fn ask_to_end(sandbox: &Sandbox, exec: &Exec, signal: i32) -> Stage {
    let _shown_in_the_events = sandbox.signal(exec.id(), signal).await;
    Stage::Term
}

/// Returns when a command was given everything; never, when there is nothing to give.
async fn all_of(feeding: &mut Option<Feeding<'_>>) -> Result<(), LinkError> {
    match feeding {
        Some(feeding) => feeding.await,
        None => std::future::pending().await,
    }
}
