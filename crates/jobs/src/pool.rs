//! Started sandboxes that wait for work, by shape. A claim takes one out of a list; everything slow
//! is the keeper's, in a task of its own.
//!
//! ```text
//!   wanted ──► making ──► warming up ──► answers ──► waiting ──claim──► a job's, and then removed
//!                 │            │            │           │
//!                 └────────────┴── failed ──┘           └── aged, updated, evicted, lost ──► removed
//!                        (the shape backs off)
//! ```
//!
//! Nothing comes back: a sandbox that was claimed is never in here again, and one that an earlier
//! life of the node left is removed, because nobody knows any more whether it was claimed.

pub(crate) mod config;
mod demand;
mod keeper;
mod making;
mod policy;
mod rush;
mod stock;
mod view;

use crate::sandboxes::Claimed;
use config::PoolConfig;
use executor::{Sandbox, Shape, ShapeKey};
pub(crate) use keeper::keep;
pub(crate) use making::make_ready;
use rush::Rush;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use stock::Stock;
use tokio::sync::Notify;

/// Shapes that are remembered at a time. Callers choose limits freely, so this bounds what they can
/// make us remember.
const MAX_STOCKS: usize = 64;

pub(crate) struct Pool {
    config: PoolConfig,
    state: Mutex<State>,
    /// Refills and removals wait while it lasts.
    pub(crate) rush: Rush,
    /// Wakes the keeper: a claim, or the end of a job's own creation.
    changed: Notify,
    /// Jobs that make their own sandbox now.
    urgent: AtomicUsize,
}

#[derive(Default)]
struct State {
    stocks: BTreeMap<ShapeKey, Stock>,
}

/// What the keeper does next.
enum Step {
    Make(ShapeKey, Shape, Vec<String>),
    GiveUp(Arc<Sandbox>),
}

/// Whose makers are free.
#[derive(Debug, Clone, Copy)]
struct Free {
    makers: bool,
    /// Of sandboxes that templates furnish.
    builders: bool,
}

impl Free {
    fn may_make(self, shape: &Shape) -> bool {
        if shape.template.is_some() { self.builders } else { self.makers }
    }
}

/// Held while a job makes its own sandbox.
pub(crate) struct Urgent<'a>(&'a Pool);

impl Drop for Urgent<'_> {
    fn drop(&mut self) {
        self.0.urgent.fetch_sub(1, Ordering::Relaxed);
        self.0.changed.notify_one();
    }
}

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> Self {
        Self {
            rush: Rush::new(config.refill_pause),
            config,
            state: Mutex::default(),
            changed: Notify::new(),
            urgent: AtomicUsize::new(0),
        }
    }

    fn is_off(&self) -> bool {
        self.config.max == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves lists that are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a waiting sandbox of this very shape out of the pool, and remembers the wish.
    pub(crate) fn claim(&self, shape: &Shape) -> Claimed {
        let mut claimed = Claimed::default();
        if self.is_off() {
            return claimed;
        }
        let now = Instant::now();
        self.rush.claim(now);
        let key = shape.key();
        let mut state = self.state();
        if !state.stocks.contains_key(&key) && !state.make_room() {
            return claimed;
        }
        let stock = state.stocks.entry(key).or_insert_with(|| {
            Stock::new(shape.clone(), self.config.learned_max, self.config.half_life, now)
        });
        claimed.sandbox = stock.take(now, &mut claimed.dead);
        drop(state);
        self.changed.notify_one();
        claimed
    }

    pub(crate) fn urgent(&self) -> Urgent<'_> {
        self.urgent.fetch_add(1, Ordering::Relaxed);
        Urgent(self)
    }

    fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed) > 0
    }

    fn next_step(&self, now: Instant, free: Free) -> Option<Step> {
        let mut state = self.state();
        let keys: Vec<ShapeKey> = state.stocks.keys().cloned().collect();
        let levels: Vec<policy::Level> =
            state.stocks.values().map(|s| s.level(now, free)).collect();
        if let Some(index) = policy::surplus(&levels) {
            return state.give_up(&keys[index]);
        }
        let next = policy::next_to_make(&levels)?;
        let have: usize = levels.iter().map(|level| level.ready + level.making).sum();
        let memory: u64 = state.stocks.values().map(Stock::memory_bytes).sum();
        let one_more = state.stocks.get(&keys[next]).map_or(0, Stock::typical_bytes);
        if have >= self.config.max || memory + one_more > self.config.memory_bytes {
            return state.give_up(&keys[policy::gives_way(&levels, next)?]);
        }
        let stock = state.stocks.get_mut(&keys[next])?;
        stock.making += 1;
        Some(Step::Make(keys[next].clone(), stock.shape.clone(), stock.warm_up.clone()))
    }

    /// How many wait that were furnished by a template.
    pub(crate) fn waiting(&self, mark: &str) -> u64 {
        let state = self.state();
        let its =
            state.stocks.values().filter(|stock| stock.shape.template.as_deref() == Some(mark));
        its.map(|stock| stock.waiting.len() as u64).sum()
    }

    /// Does not wait any longer to try what failed.
    pub(crate) fn try_again(&self, mark: &str) {
        for stock in self.state().stocks.values_mut() {
            if stock.shape.template.as_deref() == Some(mark) {
                stock.next_try = None;
            }
        }
    }

    /// The next moment at which a shape that backs off may be tried again.
    fn next_try(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        state.stocks.values().filter_map(|stock| stock.next_try).filter(|at| *at > now).min()
    }

    fn made(&self, key: &ShapeKey, sandbox: Arc<Sandbox>, memory_bytes: u64, took: Duration) {
        let mut state = self.state();
        // A stock that is being made for is not forgotten.
        if let Some(stock) = state.stocks.get_mut(key) {
            stock.making -= 1;
            stock.made(sandbox, memory_bytes, took);
        }
    }

    fn failed(&self, key: &ShapeKey) {
        if let Some(stock) = self.state().stocks.get_mut(key) {
            stock.making -= 1;
            stock.failed(Instant::now());
        }
    }

    /// Everything that waits, for the node's end.
    fn empty(&self) -> Vec<Arc<Sandbox>> {
        let mut state = self.state();
        let waiting = state.stocks.values_mut().flat_map(|stock| stock.waiting.drain(..));
        waiting.map(|waiting| waiting.sandbox).collect()
    }
}

impl State {
    /// Room for one more shape: the coldest that has nothing is forgotten for it.
    fn make_room(&mut self) -> bool {
        if self.stocks.len() < MAX_STOCKS {
            return true;
        }
        let now = Instant::now();
        let empty = self
            .stocks
            .iter()
            .filter(|(_, stock)| !stock.pinned && stock.waiting.is_empty() && stock.making == 0);
        let level = |stock: &Stock| stock.demand.level(now);
        let coldest = empty.min_by(|(_, a), (_, b)| level(a).total_cmp(&level(b)));
        let Some(key) = coldest.map(|(key, _)| key.clone()) else { return false };
        self.stocks.remove(&key);
        true
    }

    fn give_up(&mut self, key: &ShapeKey) -> Option<Step> {
        let stock = self.stocks.get_mut(key)?;
        let waiting = stock.waiting.pop_front()?;
        match stock.retired {
            true => stock.counts.replaced += 1,
            false => stock.counts.evicted += 1,
        }
        Some(Step::GiveUp(waiting.sandbox))
    }
}
