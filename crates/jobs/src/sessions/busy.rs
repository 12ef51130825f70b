//! A session's activity: while something runs in it, it is neither idle nor frozen.

use super::LiveSession;
use crate::{JobError, chain};
use contracts::session::SessionEnd;
use executor::EngineError;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::time::{Instant, timeout};

/// What the kernel may take to let a sandbox go on: it is a write to a file.
const WAKE_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether a session's processes stand still. One lock for both ways, so that a command that begins
/// while its session is being frozen waits for that, and thaws it.
#[derive(Default)]
pub(super) struct Freezer {
    turn: tokio::sync::Mutex<()>,
    frozen: AtomicBool,
    /// It could not be frozen; tried again after the next activity.
    pub(super) gave_up: AtomicBool,
}

impl Freezer {
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Acquire)
    }
}

/// Counts as activity while it lives.
pub(super) struct Busy(Arc<LiveSession>);

impl Busy {
    /// Who has this finds a session that runs: nothing may be sent to its sandbox without.
    pub(super) async fn begin(session: &Arc<LiveSession>) -> Result<Self, JobError> {
        session.activity().commands += 1;
        let busy = Self(Arc::clone(session));
        if session.sandbox.is_lost() {
            // The keeper is about to see it.
            session.ask_to_end(SessionEnd::Lost);
        }
        if let Some(ended) = session.ended() {
            return Err(JobError::Gone(ended));
        }
        session.wake().await?;
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.commands -= 1;
        activity.last = Instant::now();
        drop(activity);
        self.0.freezer.gave_up.store(false, Ordering::Relaxed);
        self.0.wake_keeper();
    }
}

impl LiveSession {
    /// Stops all of its processes, unless a command has begun meanwhile.
    pub(super) async fn freeze(&self) {
        let _turn = self.freezer.turn.lock().await;
        if self.activity().commands > 0 || self.freezer.is_frozen() {
            return;
        }
        match self.sandbox.freeze(true).await {
            Ok(()) => {
                self.freezer.frozen.store(true, Ordering::Release);
                self.metrics.sessions_frozen.inc();
            }
            Err(error) => {
                self.freezer.gave_up.store(true, Ordering::Relaxed);
                let session_id = &self.view.session_id;
                tracing::warn!(%session_id, error = %chain(&error), "a session could not be frozen");
            }
        }
    }

    async fn wake(&self) -> Result<(), EngineError> {
        let began = std::time::Instant::now();
        let _turn = self.freezer.turn.lock().await;
        if !self.freezer.is_frozen() {
            return Ok(());
        }
        let thawed = timeout(WAKE_LIMIT, self.sandbox.freeze(false)).await;
        thawed.map_err(|_| EngineError::Slow { step: "thaw", limit: WAKE_LIMIT })??;
        self.freezer.frozen.store(false, Ordering::Release);
        self.metrics.session_woke(began.elapsed().as_secs_f64());
        Ok(())
    }
}
