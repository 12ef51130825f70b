//! The gate of a node, and the door in it that each sandbox has: a socket of its own, which is
//! mounted into its sidecar only. Who speaks is known from the door, never from what is said.
//!
//! ```text
//!   open (nobody may pass) ──admit──► open to one job ──close──► gone, and its calls with it
//! ```

use crate::{
    Budget, Fetching, Outside, Policy, metrics::GateMetrics, policy::Current, porter::Porter,
};
use contracts::{egress::EgressUsage, inference::InferenceUsage};
use relay::{Listener, ServeLimits, request::Forms};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{net::UnixListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Connections that one sandbox may hold. A sidecar has no more clients than its own limit.
const CONNECTIONS: usize = 256;

/// Cheap to clone; clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) policy: Current,
    pub(crate) outside: Outside,
    pub(crate) metrics: GateMetrics,
}

/// For whom a door is open.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub task: String,
    pub job: String,
    /// None: it may not use any model.
    pub budget: Option<Arc<Budget>>,
    pub fetching: Arc<Fetching>,
    /// The names that it may use, where it may not use all.
    pub models: Option<Vec<String>>,
}

pub struct Door {
    tenant: Arc<OnceLock<Tenant>>,
    stop: CancellationToken,
    serving: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// A gate without a policy has no inference.
    pub fn new(policy: Option<Policy>, outside: Outside) -> Self {
        let (policy, metrics) = (Current::new(policy), GateMetrics::default());
        Self { inner: Arc::new(Inner { policy, outside, metrics }) }
    }

    /// From the next call on.
    pub fn set_policy(&self, policy: Policy) {
        self.inner.policy.set(policy);
    }

    pub fn policy(&self) -> Option<Arc<Policy>> {
        self.inner.policy.get()
    }

    pub fn metrics(&self) -> &GateMetrics {
        &self.inner.metrics
    }

    /// Serves a sandbox's socket from now on, and nobody until somebody is admitted.
    pub fn open(&self, listener: UnixListener) -> Door {
        let tenant = Arc::new(OnceLock::new());
        let stop = CancellationToken::new();
        let porter = Arc::new(Porter::new(Arc::clone(&self.inner), Arc::clone(&tenant)));
        let limits = ServeLimits {
            connections: CONNECTIONS,
            // Whoever closes a door wants the calls to end, not to wait for them.
            drain: Duration::ZERO,
            forms: Forms::Forwarded,
            ..ServeLimits::default()
        };
        let mut serving = JoinSet::new();
        serving.spawn(relay::serve(Listener::Unix(listener), porter, limits, stop.clone()));
        Door { tenant, stop, serving: Mutex::new(serving) }
    }
}

impl Door {
    /// Opens it to a job, once: a sandbox serves no other after it.
    pub fn admit(&self, tenant: Tenant) -> bool {
        self.tenant.set(tenant).is_ok()
    }

    /// What the job has spent so far.
    pub fn usage(&self) -> Option<InferenceUsage> {
        self.tenant.get().and_then(|tenant| Some(tenant.budget.as_ref()?.usage()))
    }

    /// What the job has fetched so far.
    pub fn fetched(&self) -> Option<EgressUsage> {
        self.tenant.get().map(|tenant| tenant.fetching.usage())
    }

    /// Cuts every call that is open. Their cost is known when this returns.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut serving = {
            let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *serving)
        };
        while serving.join_next().await.is_some() {}
    }
}
