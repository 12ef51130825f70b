//! When callers are busy claiming, so that work that can wait does.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Claims put off other work by so many pauses in all, and no longer.
const LONGEST_PUT_OFF: u32 = 10;

/// The claims of the present rush: those that followed each other within a pause.
pub(crate) struct Rush {
    pause: Duration,
    first_and_last: Mutex<Option<(Instant, Instant)>>,
}

impl Rush {
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, first_and_last: Mutex::default() }
    }

    pub(crate) fn claim(&self, now: Instant) {
        let mut claims = self.first_and_last.lock().unwrap_or_else(PoisonError::into_inner);
        let first = claims.filter(|(_, last)| now.saturating_duration_since(*last) < self.pause);
        *claims = Some((first.map_or(now, |(first, _)| first), now));
    }

    /// Until when other work waits; `None` when it need not.
    pub(crate) fn over_at(&self, now: Instant) -> Option<Instant> {
        let claims = *self.first_and_last.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = claims?;
        let until = (last + self.pause).min(first + self.pause * LONGEST_PUT_OFF);
        (until > now).then_some(until)
    }

    pub(crate) async fn over(&self) {
        while let Some(until) = self.over_at(Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_for_a_pause_in_the_claims_and_not_for_ever() {
        let (rush, start) = (Rush::new(Duration::from_millis(10)), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(rush.over_at(start), None);
        rush.claim(start);
        assert_eq!(rush.over_at(at(1)), Some(at(10)));
        assert_eq!(rush.over_at(at(10)), None);
        for ms in (5..200).step_by(5) {
            rush.claim(at(ms));
        }
        assert_eq!(rush.over_at(at(99)), Some(at(100)));
        assert_eq!(rush.over_at(at(196)), None, "the rush has had its time");
        rush.claim(at(300));
        assert_eq!(rush.over_at(at(300)), Some(at(310)), "another rush");
    }
}
