//! Leaves a target alone while it fails by its own fault. What a client does wrong, or does not wait
//! for, says nothing about a target. Some faults can be provoked: an odd body is a 500 of many servers, a long one a
//! silence. Of these, each task's count as one, so that none can take a target from all others.
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
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const FAULTS_IN_A_ROW: usize = 5;
/// Calls that are remembered, and how few of them say nothing yet.
const REMEMBERED: usize = 20;
const TELLING: usize = 10;
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
    /// The last calls, newest first.
    last: VecDeque<Call>,
    pause: Duration,
    /// The last fault, for who asks why.
    why: Option<Outcome>,
}

/// How a call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Good,
    Fault,
    /// One that this task may have provoked.
    FaultFor(u64),
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
    /// `task` is whose call it was: any number that others don't have.
    pub fn settle(mut self, outcome: Outcome, task: u64, now: Instant) {
        let call = match outcome.is_targets_fault() {
            None => return,
            Some(false) => Call::Good,
            Some(true) if outcome.may_be_provoked() => Call::FaultFor(task),
            Some(true) => Call::Fault,
        };
        self.is_settled = true;
        let mut state = self.breaker.lock();
        match state.phase {
            Phase::Closed => state.count(call, outcome, now),
            Phase::Probing { .. } if self.is_probe => match call != Call::Good {
                // It has had its say. The next call is the probe.
                true if call != Call::Fault && state.last.contains(&call) => {
                    state.phase = Phase::Open { until: now };
                }
                true => {
                    state.remember(call);
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
    fn remember(&mut self, call: Call) {
        self.last.truncate(REMEMBERED - 1);
        self.last.push_front(call);
    }

    fn count(&mut self, call: Call, outcome: Outcome, now: Instant) {
        self.remember(call);
        if call == Call::Good {
            return;
        }
        self.why = Some(outcome);
        let in_a_row = faults(self.last.iter().take_while(|call| **call != Call::Good));
        let half = self.last.len() >= TELLING && faults(self.last.iter()) * 2 >= self.last.len();
        if in_a_row >= FAULTS_IN_A_ROW || half {
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

/// Those that a task may have provoked are one together.
fn faults<'a>(calls: impl Iterator<Item = &'a Call>) -> usize {
    let mut counted: Vec<Call> = Vec::with_capacity(REMEMBERED);
    for call in calls {
        if *call == Call::Fault || *call != Call::Good && !counted.contains(call) {
            counted.push(*call);
        }
    }
    counted.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// Of a task that makes no other call.
    fn other() -> u64 {
        static TASKS: AtomicU64 = AtomicU64::new(1000);
        TASKS.fetch_add(1, Relaxed)
    }

    #[test]
    fn a_task_that_provokes_faults_takes_a_target_from_nobody() {
        let now = Instant::now();
        for fault in [Outcome::Status(500), Outcome::Timeout, Outcome::Broken] {
            let breaker = Arc::default();
            let one = |outcome| breaker_call(&breaker, outcome, 1, now);
            assert!((0..100).all(|_| one(fault)), "{fault:?} in a row");
            assert!((0..100).all(|_| one(GOOD) && one(fault)), "{fault:?} half of the time");
            // Others see it too.
            assert!((2..6).all(|task| breaker_call(&breaker, fault, task, now)));
            assert!(breaker.blocked(now).is_some(), "{fault:?}");
        }
        // Nor does it keep one away that is back.
        let breaker = opened(now);
        let mut later = now + PAUSE;
        assert!(breaker_call(&breaker, Outcome::Status(500), 1, later));
        later += PAUSE * 2;
        assert!((0..10).all(|_| breaker_call(&breaker, Outcome::Status(500), 1, later)));
        assert!(breaker_call(&breaker, GOOD, 2, later) && breaker.blocked(later).is_none());
    }

    fn breaker_call(breaker: &Arc<Breaker>, outcome: Outcome, task: u64, now: Instant) -> bool {
        breaker.admit(now).map(|permit| permit.settle(outcome, task, now)).is_ok()
    }

    const BAD: Outcome = Outcome::Connect;
    const GOOD: Outcome = Outcome::Status(200);

    fn call(breaker: &Arc<Breaker>, outcome: Outcome, now: Instant) -> bool {
        breaker_call(breaker, outcome, other(), now)
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
        assert_eq!(admitted, TELLING);
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
        probe.settle(GOOD, other(), later);
        assert!(call(&breaker, GOOD, later) && call(&breaker, GOOD, later));
    }

    #[test]
    fn a_bad_probe_doubles_the_pause_up_to_a_bound() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut pause = PAUSE;
        for _ in 0..10 {
            now += pause;
            breaker.admit(now).unwrap().settle(BAD, other(), now);
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
        breaker.admit(later).unwrap().settle(Outcome::Client, other(), later);
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
        good.settle(GOOD, other(), now);
        bad.settle(BAD, other(), now + PAUSE);
        assert_eq!(breaker.blocked(now).unwrap().retry_in, PAUSE);
        assert!(breaker.admit(now + PAUSE).is_ok());
    }
}
