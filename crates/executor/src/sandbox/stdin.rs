//! Standard input of a sandbox's programs, which may read it when they like or never.

use super::Sandbox;
use crate::LinkError;
use contracts::link::{ExecId, MAX_CHUNK_BYTES, Root, ToAgent};
use std::{sync::atomic::Ordering, time::Duration};

/// Standard input that is sent before the agent has said that there is room for it. More than that
/// could fill the link, and a signal would not pass.
const STDIN_WINDOW: u64 = 256 << 10;

/// What may be sent beyond that of input that waits for nobody. The agent listens until it has the
/// fourfold unread.
const AT_ONCE: u64 = 1 << 20;

/// What became of input that was to be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    All,
    Nothing,
}

impl Sandbox {
    /// Bytes for a command's standard input; waits while its program reads none.
    pub async fn stdin(&self, exec: ExecId, data: &[u8]) -> Result<(), LinkError> {
        for piece in data.chunks(MAX_CHUNK_BYTES) {
            let size = piece.len() as u64;
            if self.unanswered.fetch_add(size, Ordering::Relaxed) + size > STDIN_WINDOW {
                self.ping().await?;
                self.unanswered.store(size, Ordering::Relaxed);
            }
            self.link.send(ToAgent::Stdin { exec, data: piece.to_vec() }).await?;
        }
        Ok(())
    }

    /// The same, all of it or nothing, and its end if it is one: nothing when programs have so much
    /// unread that this would wait for longer. With its success the agent has it.
    pub async fn stdin_at_once(
        &self,
        exec: ExecId,
        data: &[u8],
        ends: bool,
        patience: Duration,
    ) -> Result<Fed, LinkError> {
        let size = data.len() as u64;
        if self.unanswered.fetch_add(size, Ordering::Relaxed) + size > STDIN_WINDOW + AT_ONCE {
            let Ok(answered) = tokio::time::timeout(patience, self.ping()).await else {
                self.unanswered.fetch_sub(size, Ordering::Relaxed);
                return Ok(Fed::Nothing);
            };
            answered?;
            self.unanswered.store(size, Ordering::Relaxed);
        }
        for piece in data.chunks(MAX_CHUNK_BYTES) {
            self.link.send(ToAgent::Stdin { exec, data: piece.to_vec() }).await?;
        }
        if ends {
            self.end_stdin(exec).await?;
        }
        self.heard().await?;
        Ok(Fed::All)
    }

    /// Proves that the agent has taken in all that was sent before, whatever its programs read: it
    /// is asked for a file that there can't be.
    async fn heard(&self) -> Result<(), LinkError> {
        match self.collect(Root::Job, "..", &[], 1, 0).await {
            Ok(_) | Err(LinkError::File(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub async fn end_stdin(&self, exec: ExecId) -> Result<(), LinkError> {
        self.link.send(ToAgent::StdinEnd { exec }).await
    }
}
