//! What one job may fetch at the moment, and what it has fetched so far.

use crate::egress::{Direction, Policy, Reason, Traffic};
use contracts::{
    egress::EgressUsage,
    packages::{Registries, Registry},
};
use std::sync::{
    Arc,
    atomic::{
        AtomicU8, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use tokio::sync::watch;

#[derive(Debug)]
pub struct Fetching {
    policy: watch::Sender<Arc<Policy>>,
    /// Registries that packages may come from now.
    packages: AtomicU8,
    traffic: Traffic,
    allowed: AtomicU64,
    refused: AtomicU64,
}

impl Fetching {
    pub fn new(policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            policy: watch::Sender::new(policy),
            packages: 0.into(),
            traffic: Traffic::default(),
            allowed: 0.into(),
            refused: 0.into(),
        })
    }

    /// From the next request on. What is on its way still arrives.
    pub fn set_packages(&self, registries: Registries) {
        self.packages.store(registries.bits(), Release);
    }

    pub(crate) fn may_install(&self, registry: Registry) -> bool {
        Registries::from_bits(self.packages.load(Acquire)).holds(registry)
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

    pub(crate) fn spend(&self, direction: Direction, bytes: usize) -> Result<(), Reason> {
        self.traffic.spend(&self.policy.borrow(), direction, bytes as u64)
    }

    pub(crate) fn count_allowed(&self) {
        self.allowed.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}
