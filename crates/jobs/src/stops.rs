//! Stop-all: what was taken in before it does not begin after it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct Stops(Mutex<CancellationToken>);

impl Stops {
    fn next(&self) -> MutexGuard<'_, CancellationToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled by the next stop-all. Whoever begins something takes it first of all, and looks at
    /// it when what was begun can be found by others: one of the two sees the other.
    pub(crate) fn watch(&self) -> CancellationToken {
        self.next().clone()
    }

    pub(crate) fn stop(&self) {
        std::mem::take(&mut *self.next()).cancel();
    }
}
