//! How many calls may be made a second time: a provider that is down must not double the load on the
//! others.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// In hundredths of a retry: what each call adds, so that a fifth of all calls may be repeated.
const PER_CALL: u32 = 20;
const RETRY: u32 = 100;
/// What can be saved up.
const MOST: u32 = 10 * RETRY;
/// A route that is used now and then has at least so many, one in so much time.
const FEW: u32 = 3 * RETRY;
const TRICKLE: Duration = Duration::from_secs(10);

/// Tokens of one route.
#[derive(Debug)]
pub struct RetryBudget(Mutex<Tokens>);

#[derive(Debug)]
struct Tokens {
    left: u32,
    /// When the last one trickled in.
    at: Option<Instant>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(Tokens { left: FEW, at: None }))
    }
}

impl RetryBudget {
    pub fn call(&self) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.left = (tokens.left + PER_CALL).min(MOST);
    }

    /// Takes one, if there is one.
    pub fn retry(&self, now: Instant) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.trickle(now);
        let left = tokens.left.checked_sub(RETRY);
        tokens.left = left.unwrap_or(tokens.left);
        left.is_some()
    }
}

impl Tokens {
    fn trickle(&mut self, now: Instant) {
        let since = now.saturating_duration_since(*self.at.get_or_insert(now));
        let due = u32::try_from(since.as_secs() / TRICKLE.as_secs()).unwrap_or(u32::MAX);
        if due == 0 {
            return;
        }
        self.at = Some(now);
        if self.left < FEW {
            self.left = self.left.saturating_add(due.saturating_mul(RETRY)).min(FEW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_many_calls_may_be_repeated() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        let repeated = (0..10_000)
            .filter(|_| {
                budget.call();
                budget.retry(now)
            })
            .count();
        assert!((2000..=2003).contains(&repeated), "{repeated}");
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        (0..10_000).for_each(|_| budget.call());
        assert_eq!((0..100).filter(|_| budget.retry(now)).count(), 10);
    }

    #[test]
    fn a_quiet_route_has_a_few() {
        let (budget, mut now) = (RetryBudget::default(), Instant::now());
        assert_eq!((0..100).filter(|_| budget.retry(now)).count(), 3);
        now += TRICKLE;
        assert_eq!((0..100).filter(|_| budget.retry(now)).count(), 1);
        now += TRICKLE * 1000;
        assert_eq!((0..100).filter(|_| budget.retry(now)).count(), 3);
    }
}
