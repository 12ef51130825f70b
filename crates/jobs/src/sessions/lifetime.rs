//! How long a session lives: its keeper, what it looks at and when, and its renewal.
//!
//! ```text
//!   active ──answered──► idle ──SESSION_FREEZE_AFTER──► frozen ──any call──► active
//!     │                   │                               │
//!     └── lifetime ───────┴── idle_seconds, lifetime, ────┴─► ended, and told so for the retention
//!                             its sandbox lost
//! ```

use super::{LiveSession, SessionEnded, row};
use crate::{JobError, Node, chain};
use contracts::{
    SessionId,
    session::{RenewRequest, SessionDetail, SessionEnd, SessionState, SessionStatus, SessionView},
};
use executor::Counters;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::Instant;

/// A session that may work in the background is looked at twice in the time that it may idle, and
/// at least so often.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Less between two looks is an interpreter that waits.
const WORK_US: u64 = 1000;

/// What the keeper does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Lifetime,
    Idle,
    /// Whether something works in the background.
    Look,
    Freeze,
}

/// What decides about the next step.
#[derive(Debug, Clone, Copy)]
struct Clock {
    expires: Instant,
    idle: Duration,
    last: Instant,
    looked: Instant,
    /// A command runs.
    is_busy: bool,
    background: bool,
    /// `None`: never, or it is already.
    freeze_after: Option<Duration>,
}

impl Clock {
    fn next(&self) -> (Instant, Step) {
        let mut next = (self.expires, Step::Lifetime);
        if self.is_busy {
            return next;
        }
        let mut sooner = |at: Instant, step| {
            if at < next.0 {
                next = (at, step);
            }
        };
        if self.background {
            let look = (self.idle / 2).min(LONGEST_LOOK);
            sooner(self.looked + look, Step::Look);
        } else if let Some(after) = self.freeze_after {
            sooner(self.last + after, Step::Freeze);
        }
        sooner(self.last + self.idle, Step::Idle);
        next
    }
}

impl Node {
    pub async fn session_detail(&self, id: &SessionId) -> Result<SessionDetail, JobError> {
        if let Some(session) = self.inner.sessions.get(id)
            && session.ended().is_none()
        {
            return Ok(session.detail());
        }
        self.session(id).await.map(told)
    }

    /// Sets the ends of a session anew. With nothing asked for, it has not been idle since now.
    pub async fn renew_session(
        &self,
        id: &SessionId,
        request: RenewRequest,
    ) -> Result<SessionDetail, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let session = self.code_session(id).await?;
        let config = &self.inner.config;
        {
            let mut activity = session.activity();
            if let Some(seconds) = request.lifetime_seconds {
                let asked = Duration::from_secs(seconds).min(config.session_lifetime);
                let most = session.view.created_at + config.session_lifetime;
                activity.expires_at = (OffsetDateTime::now_utc() + asked).min(most);
            }
            if let Some(seconds) = request.idle_seconds {
                activity.idle = Duration::from_secs(seconds).min(config.session_idle);
            }
            activity.expires = Instant::now() + self.time_until(activity.expires_at);
            activity.last = Instant::now();
        }
        session.wake_keeper();
        self.inner.store.save_session(row(&session, &session.view())).await?;
        Ok(session.detail())
    }

    /// What a session has left: as long as one may live at most, whatever the clock was when its end
    /// was written down.
    pub(super) fn time_until(&self, expires_at: OffsetDateTime) -> Duration {
        let left = (expires_at - OffsetDateTime::now_utc()).max(time::Duration::ZERO);
        left.unsigned_abs().min(self.inner.config.session_lifetime)
    }
}

impl LiveSession {
    fn clock(&self, freeze_after: Option<Duration>) -> Clock {
        let activity = self.activity();
        let still = self.freezer.is_frozen() || self.freezer.gave_up.load(Ordering::Relaxed);
        Clock {
            expires: activity.expires,
            idle: activity.idle,
            last: activity.last,
            looked: activity.looked,
            is_busy: activity.commands > 0,
            background: self.view.background,
            freeze_after: freeze_after.filter(|_| !still),
        }
    }

    /// The session as it is now, to be kept.
    pub(super) fn view(&self) -> SessionView {
        let activity = self.activity();
        SessionView {
            expires_at: activity.expires_at,
            idle_seconds: activity.idle.as_secs(),
            ..self.view.clone()
        }
    }

    fn detail(&self) -> SessionDetail {
        let frozen = self.freezer.is_frozen();
        let mut detail = told(self.view());
        let activity = self.activity();
        if activity.commands > 0 {
            detail.status = SessionStatus::Active;
        } else {
            let left = (activity.last + activity.idle).saturating_duration_since(Instant::now());
            detail.idle_at = Some(OffsetDateTime::now_utc() + left);
            detail.status = if frozen { SessionStatus::Frozen } else { SessionStatus::Idle };
        }
        detail
    }

    /// Counts work since the last look as activity: processor time, or processes beside the
    /// interpreters. What only waits in an interpreter can't be told from one that has nothing to do.
    async fn look(&self) {
        let Counters { cpu_us, .. } = self.sandbox.counters().await;
        // The agent, and each interpreter.
        let ours = 1 + self.kernels.running();
        let others = self.sandbox.processes().await > ours;
        let mut activity = self.activity();
        let worked = cpu_us.saturating_sub(activity.cpu_us) >= WORK_US || others;
        activity.cpu_us = cpu_us;
        activity.looked = Instant::now();
        if worked {
            activity.last = activity.looked;
        }
    }

    /// After a command, what it used is not background work.
    async fn look_anew(&self) {
        let cpu_us = self.sandbox.counters().await.cpu_us;
        let mut activity = self.activity();
        activity.cpu_us = cpu_us;
        activity.looked = Instant::now();
    }
}

/// Watches over one session until it ends, and ends it.
pub(super) async fn keep(node: Node, session: Arc<LiveSession>) {
    let freeze_after = node.inner.config.session_freeze_after;
    let mut changed = session.changed.subscribe();
    let ended = loop {
        if let Some(ended) = *changed.borrow_and_update() {
            break Some(ended);
        }
        let clock = session.clock(freeze_after);
        if clock.background && !clock.is_busy && clock.looked < clock.last {
            session.look_anew().await;
        }
        let (at, _) = clock.next();
        tokio::select! {
            () = node.inner.leaving.cancelled() => break None,
            // A command that runs tells of it first.
            () = session.sandbox.lost(), if !clock.is_busy => session.ask_to_end(SessionEnd::Lost),
            () = tokio::time::sleep_until(at) => {
                // A command may have begun or ended in between.
                match session.clock(freeze_after).next() {
                    (at, _) if at > Instant::now() => {}
                    (_, Step::Lifetime) => session.ask_to_end(SessionEnd::Lifetime),
                    (_, Step::Idle) => session.ask_to_end(SessionEnd::Idle),
                    (_, Step::Look) => session.look().await,
                    (_, Step::Freeze) => session.freeze().await,
                }
            }
            _ = changed.changed() => {}
        }
    };
    if let Some(ended) = ended {
        // Before it is forgotten here: in between it would be there and not be.
        keep_end(&node, &session, ended).await;
    }
    node.inner.sessions.open().remove(&session.view.session_id);
    node.inner.metrics.sessions.dec();
    if session.freezer.is_frozen() {
        node.inner.metrics.sessions_frozen.dec();
    }
    match ended {
        None => session.sandbox.leave().await,
        Some(_) => node.inner.sandboxes.release(Arc::clone(&session.sandbox)),
    }
    session.closed.send_replace(true);
}

async fn keep_end(node: &Node, session: &LiveSession, SessionEnded { why, at }: SessionEnded) {
    let view = SessionView {
        state: SessionState::Ended,
        ended: Some(why),
        ended_at: at,
        ..session.view()
    };
    node.inner.metrics.session_ended(why);
    if let Err(error) = node.inner.store.save_session(row(session, &view)).await {
        tracing::error!(session_id = %view.session_id, error = %chain(&error), "not kept");
    }
    tracing::info!(session_id = %view.session_id, end = ?why, "session ended");
}

/// A session as its row tells of it.
fn told(view: SessionView) -> SessionDetail {
    let status = match view.state {
        SessionState::Active => SessionStatus::Idle,
        SessionState::Ended => SessionStatus::Ended,
    };
    SessionDetail {
        session_id: view.session_id,
        status,
        lang: view.lang,
        created_at: view.created_at,
        expires_at: view.expires_at,
        idle_seconds: view.idle_seconds,
        idle_at: None,
        background: view.background,
        ended: view.ended,
        ended_at: view.ended_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn clock() -> Clock {
        let now = Instant::now();
        Clock {
            expires: now + 100 * S,
            idle: 10 * S,
            last: now,
            looked: now,
            is_busy: false,
            background: false,
            freeze_after: Some(3 * S),
        }
    }

    #[tokio::test]
    async fn who_does_nothing_is_frozen_before_it_is_ended() {
        let clock = clock();
        assert_eq!(clock.next(), (clock.last + 3 * S, Step::Freeze));
        let frozen = Clock { freeze_after: None, ..clock };
        assert_eq!(frozen.next(), (clock.last + 10 * S, Step::Idle));
    }

    #[tokio::test]
    async fn a_command_holds_off_all_but_the_end_of_its_life() {
        for background in [true, false] {
            let busy = Clock { is_busy: true, background, ..clock() };
            assert_eq!(busy.next(), (busy.expires, Step::Lifetime));
        }
    }

    #[tokio::test]
    async fn what_works_in_the_background_is_looked_at_and_never_frozen() {
        let clock = Clock { background: true, ..clock() };
        assert_eq!(clock.next(), (clock.looked + 5 * S, Step::Look));
        let late = Clock { looked: clock.last + 5 * S, ..clock };
        assert_eq!(late.next().1, Step::Look, "a look comes before the end that it may prevent");
    }

    #[tokio::test]
    async fn an_end_of_life_that_is_sooner_comes_sooner() {
        let clock = Clock { expires: clock().last + S, ..clock() };
        assert_eq!(clock.next().1, Step::Lifetime);
    }
}
