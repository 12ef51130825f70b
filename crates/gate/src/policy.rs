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
    /// For models that no route has; none on a node that has routes only.
    pub upstream: Option<Upstream>,
    pub models: ModelMap,
    pub bodies: BodyPolicy,
    /// What no job may exceed.
    pub caps: Caps,
    pub max_body_bytes: u64,
    /// For a body to arrive.
    pub body_time: Duration,
}

/// The policy that holds now. Readers clone a pointer; nobody waits for a swap.
pub(crate) struct Current(RwLock<Arc<Policy>>);

impl Current {
    pub(crate) fn new(policy: Policy) -> Self {
        Self(RwLock::new(Arc::new(policy)))
    }

    pub(crate) fn get(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}
