//! The gate of a node, and the door in it that each sandbox has: a socket of its own, which is
//! mounted into its sidecar only. Who speaks is known from the door, never from what is said.
//!
//! ```text
//!   open (nobody may pass) ──admit──► open to one job ──close──► gone, and its calls with it
//!     └─prepare─► (packages alone, for the node's own install) ─┘
//! ```

use crate::{
    Budget, Fetching, Identity, ModelMap, Offer, Outside, Packages, Policy, Roots, by_name::ByName,
    egress, metrics::GateMetrics, policy::Current, porter::Porter, routes::RouteTable,
};
use contracts::{egress::EgressUsage, inference::InferenceUsage, packages::Registries};
use relay::{Listener, ServeLimits, request::Forms};
use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{
    net::UnixListener,
    sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, mpsc, watch},
    task::JoinSet,
};
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
    pub(crate) outside: Outside,
    pub(crate) metrics: GateMetrics,
    /// None: no registry is served.
    pub(crate) packages: OnceLock<Packages>,
    roots: Roots,
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

impl Tenant {
    /// Those models that it may use.
    pub(crate) fn may_use<'a>(&self, models: &'a ModelMap) -> Cow<'a, ModelMap> {
        match &self.models {
            Some(names) => Cow::Owned(models.narrowed(names)),
            None => Cow::Borrowed(models),
        }
    }
}

/// For whom a door is open, or what is prepared behind it before that.
#[derive(Default)]
pub(crate) struct Admitted {
    tenant: OnceLock<Tenant>,
    preparing: Mutex<Option<Arc<Tenant>>>,
}

impl Admitted {
    pub(crate) fn get(&self) -> Option<&Tenant> {
        self.tenant.get()
    }

    fn preparing(&self) -> MutexGuard<'_, Option<Arc<Tenant>>> {
        self.preparing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose packages are prepared, while there is nobody else.
    pub(crate) fn prepares(&self) -> Option<Arc<Tenant>> {
        if self.get().is_some() { None } else { self.preparing().clone() }
    }
}

pub struct Door {
    inner: Arc<Inner>,
    /// One install at a time, so that the end of one is not the end of another.
    installing: AsyncMutex<()>,
    porter: Arc<Porter>,
    admitted: Arc<Admitted>,
    stop: CancellationToken,
    serving: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// `routes` are the operator's, as they change; `outside` is how what egress rules allow is reached.
    pub fn new(policy: Policy, routes: watch::Receiver<Arc<RouteTable>>, outside: Outside) -> Self {
        let inner = Inner {
            policy: Current::new(policy),
            routes,
            outside,
            metrics: GateMetrics::default(),
            packages: OnceLock::new(),
            roots: Roots::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Serves these registries too. Others than the first don't count.
    #[must_use]
    pub fn with_packages(self, packages: Packages) -> Self {
        self.inner.packages.get_or_init(|| packages);
        self
    }

    pub fn has_registries(&self, registries: Registries) -> bool {
        registries.is_empty()
            || self.inner.packages.get().is_some_and(|packages| packages.serves(registries))
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

    /// Whom the node itself believes.
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    pub fn metrics(&self) -> &GateMetrics {
        &self.inner.metrics
    }

    /// Serves a sandbox's socket from now on, and nobody until somebody is admitted.
    pub fn open(&self, listener: UnixListener) -> Door {
        let admitted = Arc::new(Admitted::default());
        let stop = CancellationToken::new();
        let porter = Arc::new(Porter::new(Arc::clone(&self.inner), Arc::clone(&admitted)));
        let mut serving = JoinSet::new();
        let listener = Listener::Unix(listener);
        let limits = ServeLimits { forms: Forms::Forwarded, ..limits() };
        serving.spawn(relay::serve(listener, Arc::clone(&porter), limits, stop.clone()));
        let (inner, installing) = (Arc::clone(&self.inner), AsyncMutex::default());
        Door { inner, installing, porter, admitted, stop, serving: Mutex::new(serving) }
    }
}

fn limits() -> ServeLimits {
    ServeLimits {
        connections: CONNECTIONS,
        // Whoever closes a door wants the calls to end, not to wait for them.
        drain: Duration::ZERO,
        ..ServeLimits::default()
    }
}

impl Door {
    /// Serves a second socket of the same sandbox, and who asks for its host by CONNECT on the first: the
    /// same calls, inside TLS. To other hosts, TLS on the second is a tunnel.
    pub fn open_tls(&self, listener: UnixListener, identity: &Identity) {
        let (home, callers) = mpsc::channel(1);
        self.porter.leads_home(home.clone());
        let (porter, server) = (Arc::clone(&self.porter), identity.server());
        let callers = Listener::Handed(callers);
        let at_home = relay::serve_tls(callers, porter, limits(), server, self.stop.clone());
        let (inner, admitted) = (Arc::clone(&self.inner), Arc::clone(&self.admitted));
        let by_name = ByName { inner, admitted, home };
        let meet = move |client| by_name.clone().meet(client);
        let by_name = relay::each_connection(listener, limits(), self.stop.clone(), meet);
        let mut serving = self.serving();
        serving.spawn(at_home);
        serving.spawn(by_name);
    }

    fn serving(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it to a job, once: a sandbox serves no other after it.
    pub fn admit(&self, tenant: Tenant) -> bool {
        self.admitted.tenant.set(tenant).is_ok()
    }

    /// Whether somebody was admitted.
    pub fn is_open(&self) -> bool {
        self.admitted.get().is_some()
    }

    /// Registries too, for as long as the answer lives. None: it is open to nobody.
    pub async fn let_install(&self, registries: Registries) -> Option<Install<'_>> {
        let fetching = Arc::clone(&self.admitted.get()?.fetching);
        let alone = self.installing.lock().await;
        let before = fetching.packages();
        fetching.set_packages(before.and(registries));
        fetching.watch_files(true);
        Some(Install { admitted: &self.admitted, fetching, before, _alone: alone })
    }

    /// Registries and nothing else, for what the node installs before anybody is admitted, for as long
    /// as the answer lives. None: somebody is.
    pub async fn let_prepare(&self, tenant: Tenant, registries: Registries) -> Option<Install<'_>> {
        let alone = self.installing.lock().await;
        if self.is_open() {
            return None;
        }
        let fetching = Arc::clone(&tenant.fetching);
        fetching.set_packages(registries);
        fetching.watch_files(true);
        *self.admitted.preparing() = Some(Arc::new(tenant));
        let before = Registries::default();
        Some(Install { admitted: &self.admitted, fetching, before, _alone: alone })
    }

    /// Other rules for the job, from its next request on. Open tunnels that they don't allow are closed.
    pub fn set_egress(&self, policy: egress::Policy) {
        if let Some(tenant) = self.admitted.get() {
            tenant.fetching.set_policy(Arc::new(policy));
        }
    }

    /// What the job has spent so far.
    pub fn usage(&self) -> Option<InferenceUsage> {
        self.admitted.get().and_then(|tenant| Some(tenant.budget.as_ref()?.usage()))
    }

    /// What the job has fetched so far.
    pub fn fetched(&self) -> Option<EgressUsage> {
        self.admitted.get().map(|tenant| tenant.fetching.usage())
    }

    /// Cuts every call that is open. Their cost is known when this returns.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut serving = std::mem::take(&mut *self.serving());
        while serving.join_next().await.is_some() {}
    }
}

/// An install that may reach its registries.
pub struct Install<'a> {
    admitted: &'a Admitted,
    fetching: Arc<Fetching>,
    before: Registries,
    _alone: AsyncMutexGuard<'a, ()>,
}

impl Install<'_> {
    /// The files of PyPI and npm that it was given, as paths on the gate, in order. None: too many to tell.
    pub fn taken(&self) -> Option<Vec<String>> {
        self.fetching.watch_files(false)
    }
}

impl Drop for Install<'_> {
    fn drop(&mut self) {
        self.fetching.watch_files(false);
        self.fetching.set_packages(self.before);
        *self.admitted.preparing() = None;
    }
}
