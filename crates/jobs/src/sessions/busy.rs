//! A session's activity: while something runs in it, it is not idle.

use super::LiveSession;
use std::sync::Arc;
use tokio::time::Instant;

/// Counts as activity while it lives.
pub(super) struct Busy(Arc<LiveSession>);

impl Busy {
    pub(super) fn begin(session: &Arc<LiveSession>) -> Self {
        session.activity().commands += 1;
        Self(Arc::clone(session))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.commands -= 1;
        activity.last = Instant::now();
        drop(activity);
        // Wakes the keeper, which then looks at the clock anew.
        self.0.changed.send_modify(|_| {});
    }
}
