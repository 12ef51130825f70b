//! Leaves a target alone while it fails by its own fault. What a client does wrong, or does not wait
//! for, says nothing about a target.
//!
//! ```text
//! closed ──5 faults in a row, or half of the last 20──► open ──its pause is over──► one probe
//!    ▲                                                    ▲                              │ │
//!    └───────────────────── good ─────────────────────────┼──────────────────────────────┘ │
//!                                                         └── bad: pause doubled ──────────┘
//! ```
//!
//! A probe that its client gave up leaves it open, and the next call is the probe.

use super::Outcome;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const FAULTS_IN_A_ROW: u32 = 5;
/// Calls that are remembered, and how few of them say nothing yet.
const REMEMBERED: u32 = 20;
const TELLING: u32 = 10;
/// The first pause, and the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    in_a_row: u32,
    /// The last calls, newest in the lowest bit: 1 is a fault.
    last: u32,
    seen: u32,
    pause: Duration,
    /// The last fault, for who asks why.
    why: Option<Outcome>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    Probing {
        until: Instant,
    },
}

/// Why there is no call now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    pub retry_in: Duration,
    pub why: Option<Outcome>,
}

/// The right to make one call. One that is dropped says nothing about the target.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    breaker: Arc<Breaker>,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Permit, Blocked> {
        let mut state = self.lock();
        let is_probe = match state.phase {
            Phase::Closed => false,
            Phase::Open { until } if until <= now => {
                state.phase = Phase::Probing { until };
                true
            }
            _ => return Err(state.blocked(now)),
        };
        Ok(Permit { breaker: Arc::clone(self), is_probe, is_settled: false })
    }

    /// Whether a call would be turned away, without taking the place of one.
    pub fn blocked(&self, now: Instant) -> Option<Blocked> {
        let state = self.lock();
        match state.phase {
            Phase::Closed => None,
            Phase::Open { until } if until <= now => None,
            _ => Some(state.blocked(now)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    pub fn settle(mut self, outcome: Outcome, now: Instant) {
        let Some(is_fault) = outcome.is_targets_fault() else { return };
        self.is_settled = true;
        let mut state = self.breaker.lock();
        match state.phase {
            Phase::Closed => state.count(is_fault, outcome, now),
            Phase::Probing { .. } if self.is_probe => match is_fault {
                true => {
                    state.why = Some(outcome);
                    state.pause = (state.pause * 2).min(LONGEST_PAUSE);
                    state.phase = Phase::Open { until: now + state.pause };
                }
                false => *state = State::default(),
            },
            // It began before the target was left alone: old news.
            _ => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            let mut state = self.breaker.lock();
            if let Phase::Probing { until } = state.phase {
                state.phase = Phase::Open { until };
            }
        }
    }
}

impl State {
    fn count(&mut self, is_fault: bool, outcome: Outcome, now: Instant) {
        self.last = (self.last << 1 | u32::from(is_fault)) & ((1 << REMEMBERED) - 1);
        self.seen = (self.seen + 1).min(REMEMBERED);
        if !is_fault {
            self.in_a_row = 0;
            return;
        }
        self.in_a_row += 1;
        self.why = Some(outcome);
        let half = self.seen >= TELLING && self.last.count_ones() * 2 >= self.seen;
        if self.in_a_row >= FAULTS_IN_A_ROW || half {
            self.pause = PAUSE;
            self.phase = Phase::Open { until: now + PAUSE };
        }
    }

    fn blocked(&self, now: Instant) -> Blocked {
        let retry_in = match self.phase {
            Phase::Open { until } => until.saturating_duration_since(now),
            // Its probe is on its way.
            _ => Duration::from_secs(1),
        };
        Blocked { retry_in, why: self.why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Outcome = Outcome::Connect;
    const GOOD: Outcome = Outcome::Status(200);

    fn call(breaker: &Arc<Breaker>, outcome: Outcome, now: Instant) -> bool {
        breaker.admit(now).map(|permit| permit.settle(outcome, now)).is_ok()
    }

    fn opened(now: Instant) -> Arc<Breaker> {
        let breaker = Arc::default();
        for _ in 0..FAULTS_IN_A_ROW {
            assert!(call(&breaker, BAD, now));
        }
        assert!(breaker.admit(now).is_err());
        breaker
    }

    #[test]
    fn only_the_targets_own_faults_count() {
        let now = Instant::now();
        for (outcome, counts) in [
            (Outcome::Connect, true),
            (Outcome::Timeout, true),
            (Outcome::Broken, true),
            (Outcome::Status(500), true),
            (Outcome::Status(529), true),
            (Outcome::Status(429), false),
            (Outcome::Status(401), false),
            (Outcome::Status(400), false),
            (Outcome::Status(200), false),
            (Outcome::Client, false),
        ] {
            let breaker = Arc::default();
            let admitted = (0..100).filter(|_| call(&breaker, outcome, now)).count();
            assert_eq!(admitted, if counts { 5 } else { 100 }, "{outcome:?}");
        }
    }

    #[test]
    fn a_target_that_fails_half_of_the_time_is_left_alone() {
        let now = Instant::now();
        let breaker = Arc::default();
        let calls = [GOOD, BAD].into_iter().cycle().take(100);
        let admitted = calls.filter(|outcome| call(&breaker, *outcome, now)).count();
        assert_eq!(admitted, TELLING as usize);
        let breaker = Arc::default();
        let calls = [GOOD, GOOD, BAD].into_iter().cycle().take(100);
        assert_eq!(calls.filter(|outcome| call(&breaker, *outcome, now)).count(), 100);
    }

    #[test]
    fn one_call_probes_and_a_good_one_closes() {
        let now = Instant::now();
        let breaker = opened(now);
        let blocked = breaker.admit(now + PAUSE / 2).unwrap_err();
        assert_eq!(blocked, Blocked { retry_in: PAUSE / 2, why: Some(BAD) });
        let later = now + PAUSE;
        let probe = breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_err(), "a second probe");
        probe.settle(GOOD, later);
        assert!(call(&breaker, GOOD, later) && call(&breaker, GOOD, later));
    }

    #[test]
    fn a_bad_probe_doubles_the_pause_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut pause = PAUSE;
        for _ in 0..10 {
            now += pause;
            breaker.admit(now).unwrap().settle(BAD, now);
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(breaker.blocked(now).unwrap().retry_in, pause);
        }
    }

    #[test]
    fn a_probe_that_is_given_up_makes_place_for_the_next() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + PAUSE;
        drop(breaker.admit(later).unwrap());
        breaker.admit(later).unwrap().settle(Outcome::Client, later);
        assert!(call(&breaker, GOOD, later));
        assert_eq!(breaker.blocked(later), None);
    }

    #[test]
    fn a_call_from_before_changes_nothing() {
        let now = Instant::now();
        let breaker: Arc<Breaker> = Arc::default();
        let (good, bad) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        for _ in 0..FAULTS_IN_A_ROW {
            call(&breaker, BAD, now);
        }
        good.settle(GOOD, now);
        bad.settle(BAD, now + PAUSE);
        assert_eq!(breaker.blocked(now).unwrap().retry_in, PAUSE);
        assert!(breaker.admit(now + PAUSE).is_ok());
    }
}
