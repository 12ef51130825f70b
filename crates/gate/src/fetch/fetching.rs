//! What one job may fetch at the moment, and what it has fetched so far.

use crate::egress::{Direction, Policy, Reason, Traffic};
use contracts::egress::EgressUsage;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use tokio::sync::watch;

#[derive(Debug)]
pub struct Fetching {
    policy: watch::Sender<Arc<Policy>>,
    traffic: Traffic,
    allowed: AtomicU64,
    refused: AtomicU64,
}

impl Fetching {
    pub fn new(policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            policy: watch::Sender::new(policy),
            traffic: Traffic::default(),
            allowed: 0.into(),
            refused: 0.into(),
        })
    }

    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// From the next request on. Open tunnels that it does not allow are closed.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        self.policy.send_replace(policy);
    }

    pub fn usage(&self) -> EgressUsage {
        EgressUsage {
            allowed: self.allowed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            bytes_out: self.traffic.moved(Direction::Out),
            bytes_in: self.traffic.moved(Direction::In),
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    pub(super) fn spend(&self, direction: Direction, bytes: usize) -> Result<(), Reason> {
        self.traffic.spend(&self.policy.borrow(), direction, bytes as u64)
    }

    pub(super) fn count_allowed(&self) {
        self.allowed.fetch_add(1, Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}
