//! The gate of a node, and the door in it that each sandbox has: a socket of its own, which is
//! mounted into its sidecar only. Who speaks is known from the door, never from what is said.
//!
//! ```text
//!   open (nobody may pass) ──admit──► open to one job ──close──► gone, and its calls with it
//! ```

use crate::{
    Budget, Offer, Policy, metrics::GateMetrics, policy::Current, porter::Porter,
    routes::RouteTable,
};
use contracts::inference::InferenceUsage;
use relay::{Listener, ServeLimits};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{net::UnixListener, sync::watch, task::JoinSet};
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
    pub(crate) routes: watch::Receiver<Arc<RouteTable>>,
    pub(crate) metrics: GateMetrics,
}

/// For whom a door is open.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub task: String,
    pub job: String,
    pub budget: Arc<Budget>,
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
    /// `routes` are the operator's, as they change.
    pub fn new(policy: Policy, routes: watch::Receiver<Arc<RouteTable>>) -> Self {
        let (policy, metrics) = (Current::new(policy), GateMetrics::default());
        let inner = Inner { policy, routes, metrics };
        Self { inner: Arc::new(inner) }
    }

    /// From the next call on.
    pub fn set_policy(&self, policy: Policy) {
        self.inner.policy.set(policy);
    }

    pub fn policy(&self) -> Arc<Policy> {
        self.inner.policy.get()
    }

    /// Whether there is anybody to serve a call.
    pub fn has_upstream(&self) -> bool {
        let has_routes = !self.inner.routes.borrow().names(None).is_empty();
        has_routes || self.policy().upstream.is_some()
    }

    /// What a job that may use these names finds; none given asks for all.
    pub fn offer(&self, allowed: Option<&[String]>) -> Offer {
        let policy = self.policy();
        let table = Arc::clone(&self.inner.routes.borrow());
        let models = policy.models.with_routes(&table);
        match allowed {
            Some(names) => models.narrowed(names).offer(),
            None => models.offer(),
        }
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
        self.tenant.get().map(|tenant| tenant.budget.usage())
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
