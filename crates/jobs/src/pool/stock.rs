//! What the pool has and knows of one shape.

use super::{Free, demand::Demand, policy::Level};
use executor::{Sandbox, Shape};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// After a failed creation; doubled by each that follows.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// A sandbox that is ready.
pub(super) struct Waiting {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) since: Instant,
    pub(super) checked: Instant,
    /// What its cgroup was charged with when it was last looked at.
    pub(super) memory_bytes: u64,
}

pub(super) struct Stock {
    pub(super) shape: Shape,
    pub(super) warm_up: Vec<String>,
    /// Configured, not learned.
    pub(super) pinned: bool,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) retired: bool,
    /// Oldest first; claims take the oldest, which has proven itself longest.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) making: usize,
    pub(super) demand: Demand,
    pub(super) next_try: Option<Instant>,
    back_off: Duration,
    /// What the last one was charged with.
    typical_bytes: u64,
    pub(super) counts: Counts,
}

/// Since the stock came to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) claims: u64,
    pub(super) misses: u64,
    pub(super) made: u64,
    pub(super) failures: u64,
    /// Given up because others were used more, or nobody used them.
    pub(super) evicted: u64,
    /// Replaced for their age, or because their image was updated.
    pub(super) replaced: u64,
    /// Found dead or silent.
    pub(super) lost: u64,
    pub(super) making_time: Duration,
}

impl Stock {
    pub(super) fn new(shape: Shape, max: usize, half_life: Duration, now: Instant) -> Self {
        Self {
            shape,
            warm_up: Vec::new(),
            pinned: false,
            min: 0,
            max,
            retired: false,
            waiting: VecDeque::new(),
            making: 0,
            demand: Demand::new(half_life, now),
            next_try: None,
            back_off: FIRST_BACK_OFF,
            typical_bytes: 0,
            counts: Counts::default(),
        }
    }

    /// One that nobody is free to make is as one that backs off.
    pub(super) fn level(&self, now: Instant, free: Free) -> Level {
        Level {
            ready: self.waiting.len(),
            making: self.making,
            min: self.min,
            max: self.max,
            demand: self.demand.level(now),
            retired: self.retired,
            backing_off: self.backs_off(now) || !free.may_make(&self.shape),
        }
    }

    pub(super) fn backs_off(&self, now: Instant) -> bool {
        self.next_try.is_some_and(|at| at > now)
    }

    /// The oldest that lives. Dead ones on the way are handed back for removal.
    pub(super) fn take(
        &mut self,
        now: Instant,
        dead: &mut Vec<Arc<Sandbox>>,
    ) -> Option<Arc<Sandbox>> {
        self.demand.claim(now);
        while let Some(waiting) = self.waiting.pop_front() {
            if !waiting.sandbox.is_lost() {
                self.counts.claims += 1;
                return Some(waiting.sandbox);
            }
            self.counts.lost += 1;
            dead.push(waiting.sandbox);
        }
        self.counts.misses += 1;
        None
    }

    pub(super) fn made(&mut self, sandbox: Arc<Sandbox>, memory_bytes: u64, took: Duration) {
        let now = Instant::now();
        self.waiting.push_back(Waiting { sandbox, since: now, checked: now, memory_bytes });
        self.typical_bytes = memory_bytes;
        self.counts.made += 1;
        self.counts.making_time += took;
        self.next_try = None;
        self.back_off = FIRST_BACK_OFF;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.counts.failures += 1;
        self.next_try = Some(now + self.back_off);
        self.back_off = (self.back_off * 2).min(LONGEST_BACK_OFF);
    }

    pub(super) fn typical_bytes(&self) -> u64 {
        self.typical_bytes
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.memory_bytes).sum()
    }

    /// Nothing of it is left and nobody asks for it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let empty = self.waiting.is_empty() && self.making == 0;
        empty && (self.retired || (!self.pinned && self.demand.level(now) < 0.1))
    }
}
