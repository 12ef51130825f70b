//! How much a shape was asked for lately: each claim counts one, and half of it after a half-life.

use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub(super) struct Demand {
    half_life: Duration,
    value: f64,
    at: Instant,
}

impl Demand {
    pub(super) fn new(half_life: Duration, now: Instant) -> Self {
        Self { half_life, value: 0.0, at: now }
    }

    pub(super) fn claim(&mut self, now: Instant) {
        self.value = self.level(now) + 1.0;
        self.at = now;
    }

    pub(super) fn level(&self, now: Instant) -> f64 {
        let half_lives = now.saturating_duration_since(self.at).as_secs_f64()
            / self.half_life.as_secs_f64().max(f64::MIN_POSITIVE);
        self.value * 0.5f64.powf(half_lives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_counts_half_after_a_half_life() {
        let start = Instant::now();
        let mut demand = Demand::new(Duration::from_secs(10), start);
        demand.claim(start);
        demand.claim(start);
        assert!((demand.level(start) - 2.0).abs() < 1e-9);
        assert!((demand.level(start + Duration::from_secs(10)) - 1.0).abs() < 1e-9);
        demand.claim(start + Duration::from_secs(10));
        assert!((demand.level(start + Duration::from_secs(20)) - 1.0).abs() < 1e-9);
    }
}
