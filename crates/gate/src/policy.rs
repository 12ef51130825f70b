//! What holds for every sandbox at a moment: where calls go, what models there are, what bodies may
//! ask for. One value that is swapped as a whole; a call sees the one that was there at its start.

use crate::{BodyPolicy, ModelMap};
use contracts::inference::Caps;
use relay::Upstream;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

#[derive(Clone)]
pub struct Policy {
    pub upstream: Upstream,
    pub models: ModelMap,
    pub bodies: BodyPolicy,
    /// What no job may exceed.
    pub caps: Caps,
    pub max_body_bytes: u64,
    /// For a body to arrive.
    pub body_time: Duration,
}

/// The policy that holds now. Readers clone a pointer; nobody waits for a swap.
pub(crate) struct Current(RwLock<Option<Arc<Policy>>>);

impl Current {
    pub(crate) fn new(policy: Option<Policy>) -> Self {
        Self(RwLock::new(policy.map(Arc::new)))
    }

    pub(crate) fn get(&self) -> Option<Arc<Policy>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(policy));
    }
}
