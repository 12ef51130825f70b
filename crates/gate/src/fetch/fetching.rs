//! What one job may fetch at the moment, and what it has fetched so far.

use super::outside::Lookups;
use crate::egress::{Denial, Direction, Permit, Policy, Reason, Traffic};
use contracts::{
    egress::EgressUsage,
    packages::{Registries, Registry},
};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU8, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// An install of more files is not one to repeat.
const MAX_FILES_GIVEN: usize = 512;

/// Of one job at a time. The node's own places for downloads are for all jobs.
const PACKAGES: usize = 8;

#[derive(Debug)]
pub struct Fetching {
    policy: watch::Sender<Arc<Policy>>,
    /// Registries that packages may come from now.
    packages: AtomicU8,
    /// Places of packages that are on their way from a registry.
    places: Semaphore,
    /// Files of packages that were given while somebody wants to know.
    given: Mutex<Option<Vec<String>>>,
    traffic: Traffic,
    pub(super) lookups: Lookups,
    allowed: AtomicU64,
    refused: AtomicU64,
}

impl Fetching {
    pub fn new(policy: Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            policy: watch::Sender::new(policy),
            packages: 0.into(),
            places: Semaphore::new(PACKAGES),
            given: Mutex::default(),
            traffic: Traffic::default(),
            lookups: Lookups::default(),
            allowed: 0.into(),
            refused: 0.into(),
        })
    }

    /// From the next request on. What is on its way still arrives.
    pub fn set_packages(&self, registries: Registries) {
        self.packages.store(registries.bits(), Release);
    }

    pub(crate) fn packages(&self) -> Registries {
        Registries::from_bits(self.packages.load(Acquire))
    }

    /// Remembers files that are given from now on, or gives them back.
    pub(crate) fn watch_files(&self, begin: bool) -> Option<Vec<String>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *given, begin.then(Vec::new))
    }

    pub(crate) fn file_given(&self, path: &str) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = given.as_mut() {
            files.push(path.to_owned());
            if files.len() > MAX_FILES_GIVEN {
                *given = None;
            }
        }
    }

    /// Waits for its turn among the job's own packages. None only if there were no places at all.
    pub(crate) async fn package_place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }

    pub(crate) fn may_install(&self, registry: Registry) -> bool {
        self.packages().holds(registry)
    }

    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// From the next request on. What is on its way and is not allowed by it is broken off.
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

    /// Returns once a policy holds that does not let this request be at these addresses.
    pub(super) async fn forbids(&self, permit: &Permit, addresses: &[IpAddr]) -> Denial {
        let mut changes = self.policy.subscribe();
        loop {
            let policy = Arc::clone(&changes.borrow_and_update());
            let verdict = policy.admit(permit.request()).and_then(|it| it.approve(addresses));
            if let Err(denial) = verdict {
                return denial;
            }
            if changes.changed().await.is_err() {
                // The sender is ours, so this is never.
                std::future::pending::<()>().await;
            }
        }
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
