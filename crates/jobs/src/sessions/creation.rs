//! Sessions that are being made: one of an id at a time, each with a place among all, and none that
//! was asked for before everything was stopped.

use super::{SessionEnded, Sessions};
use crate::JobError;
use contracts::{SessionId, session::SessionEnd};
use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(super) struct Turns {
    turn: Arc<tokio::sync::Mutex<()>>,
    wanted: usize,
    /// One of them has a place among all sessions.
    placed: bool,
}

/// A creation among those with its id.
pub(super) struct Creation<'a> {
    sessions: &'a Sessions,
    id: &'a SessionId,
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Creation<'_> {
    /// Whether there is a place for this one beside those that are open or have theirs; it is held until
    /// the creation ends. Only who has the turn asks.
    pub(super) fn takes_place(&self, most: usize) -> bool {
        let (mut creating, open) = (self.sessions.creating(), self.sessions.open());
        // Towards its end a creation is among both.
        let coming = |(id, turns): &(&SessionId, &Turns)| {
            turns.placed && *id != self.id && !open.contains_key(id)
        };
        let is_free = open.len() + creating.iter().filter(coming).count() < most;
        if let Some(turns) = creating.get_mut(self.id) {
            turns.placed = is_free;
        }
        is_free
    }
}

impl Drop for Creation<'_> {
    fn drop(&mut self) {
        let mut creating = self.sessions.creating();
        if let Some(turns) = creating.get_mut(self.id) {
            turns.wanted -= 1;
            if turns.wanted == 0 {
                creating.remove(self.id);
            }
        }
    }
}

impl Sessions {
    fn creating(&self) -> MutexGuard<'_, HashMap<SessionId, Turns>> {
        self.creating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn creation<'a>(&'a self, id: &'a SessionId) -> Creation<'a> {
        let mut creating = self.creating();
        let turns = creating.entry(id.clone()).or_default();
        turns.wanted += 1;
        Creation { sessions: self, id, turn: Arc::clone(&turns.turn) }
    }
}

/// Whether what was asked for before a stop-all goes on.
pub(super) fn not_stopped(stop: &CancellationToken) -> Result<(), JobError> {
    let ended = || SessionEnded { why: SessionEnd::StopAll, at: Some(OffsetDateTime::now_utc()) };
    if stop.is_cancelled() { Err(JobError::Gone(ended())) } else { Ok(()) }
}
