//! What sandboxes may fetch, while they run: their own rules and the node's, either of which may
//! change under them.
//!
//! A change counts from the next request on, and closes the tunnels that it does not allow. Who may
//! change the rules of a job is who may submit one: it could have had these rules from the start.

use crate::{JobError, Node, config::EgressConfig, sandboxes::Owned, sessions};
use contracts::{
    Faults, JobId, SandboxId, SessionId, Version,
    egress::{EgressPolicies, EgressSpec, EgressUsage, EgressView},
};
use gate::{Door, Tenant, egress::Policy};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

pub(crate) struct Rules {
    max_bytes_out: Option<u64>,
    max_bytes_in: Option<u64>,
    state: Mutex<State>,
    /// One change at a time, so that what is kept and what holds are the same.
    changing: tokio::sync::Mutex<()>,
}

struct State {
    policies: BTreeMap<String, Policy>,
    /// Of those whose door is open. A door that is gone takes its sandbox's rules along.
    open: HashMap<SandboxId, (EgressSpec, Weak<Door>)>,
}

impl Rules {
    pub(crate) fn new(config: &EgressConfig) -> Self {
        let state = State { policies: config.policies.clone(), open: HashMap::new() };
        Self {
            max_bytes_out: config.max_bytes_out,
            max_bytes_in: config.max_bytes_in,
            state: Mutex::new(state),
            changing: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rules that these words stand for now. One that is written wrong, and a policy that is not
    /// there, are told by their fields.
    pub(crate) fn checked(&self, field: &str, spec: &EgressSpec) -> Result<Policy, JobError> {
        let own = self.own(field, spec)?;
        let Some(name) = &spec.egress_policy else { return Ok(own) };
        match self.state().policies.get(name) {
            Some(named) => Ok(own.and(named)),
            None => {
                let mut faults = Faults::default();
                faults.add(format!("{field}egress_policy"), "is no policy of this node");
                Err(JobError::Refused(faults))
            }
        }
    }

    fn own(&self, field: &str, spec: &EgressSpec) -> Result<Policy, JobError> {
        let own = Policy::of_rules(&format!("{field}egress"), &spec.egress);
        Ok(own.map_err(JobError::Invalid)?.bounded(self.max_bytes_out, self.max_bytes_in))
    }

    /// The same for rules that were good before: a policy that is gone since then allows nothing.
    fn now(&self, state: &State, spec: &EgressSpec) -> Policy {
        let own = self.own("", spec).unwrap_or_default();
        match spec.egress_policy.as_ref().and_then(|name| state.policies.get(name)) {
            Some(named) => own.and(named),
            None => own,
        }
    }

    /// Opens a door under the rules as they are now; `false` if it was open before.
    pub(crate) fn admit(
        &self,
        id: &SandboxId,
        spec: EgressSpec,
        door: &Arc<Door>,
        tenant: Tenant,
    ) -> bool {
        let mut state = self.state();
        tenant.fetching.set_policy(Arc::new(self.now(&state, &spec)));
        let is_first = door.admit(tenant);
        if is_first {
            state.open.retain(|_, (_, door)| door.strong_count() > 0);
            state.open.insert(id.clone(), (spec, Arc::downgrade(door)));
        }
        is_first
    }
}

impl Node {
    pub async fn job_egress(&self, id: &JobId) -> Result<EgressView, JobError> {
        self.egress(&self.sandbox_of_job(id).await?)
    }

    /// Puts these rules in the place of those that a running job has.
    pub async fn set_job_egress(
        &self,
        id: &JobId,
        spec: EgressSpec,
    ) -> Result<EgressView, JobError> {
        let sandbox = self.sandbox_of_job(id).await?;
        self.set_egress(sandbox, spec).await
    }

    pub async fn session_egress(&self, id: &SessionId) -> Result<EgressView, JobError> {
        self.egress(&self.sandbox_of_session(id).await?)
    }

    pub async fn set_session_egress(
        &self,
        id: &SessionId,
        spec: EgressSpec,
    ) -> Result<EgressView, JobError> {
        let sandbox = self.sandbox_of_session(id).await?;
        self.set_egress(sandbox, spec).await
    }

    /// The policies that jobs may name.
    pub fn egress_policies(&self) -> EgressPolicies {
        let state = self.inner.rules.state();
        let users = |name: &String| {
            let runs_by = |spec: &EgressSpec| spec.egress_policy.as_ref() == Some(name);
            let is_open = |door: &Weak<Door>| door.strong_count() > 0;
            state.open.values().filter(|(spec, door)| runs_by(spec) && is_open(door)).count()
        };
        let policies =
            state.policies.keys().map(|name| (name.clone(), users(name) as u64)).collect();
        EgressPolicies { version: Version, policies }
    }

    /// Puts these in their place, for whoever runs by one of them, too.
    pub fn set_egress_policies(&self, policies: BTreeMap<String, Policy>) -> EgressPolicies {
        {
            let mut state = self.inner.rules.state();
            state.policies = policies;
            for (spec, door) in state.open.values() {
                if let Some(door) = door.upgrade().filter(|_| spec.egress_policy.is_some()) {
                    door.set_egress(self.inner.rules.now(&state, spec));
                }
            }
        }
        tracing::info!("the policies of egress were read again");
        self.egress_policies()
    }

    async fn sandbox_of_job(&self, id: &JobId) -> Result<SandboxId, JobError> {
        let row = self.row(id).await?;
        if !row.request.sandbox.has_egress() {
            return Err(no_way());
        }
        let is_its = |owner: &Owned| matches!(owner, Owned::Job(_, job) if job == id);
        self.inner.sandboxes.of(is_its).ok_or(JobError::NotRunning)
    }

    async fn sandbox_of_session(&self, id: &SessionId) -> Result<SandboxId, JobError> {
        let is_its = |owner: &Owned| matches!(owner, Owned::Session(_, session) if session == id);
        let Some(sandbox) = self.inner.sandboxes.of(is_its) else {
            return Err(sessions::absent(self, id).await);
        };
        match self.inner.store.session(id.clone()).await? {
            Some(row) if !row.request.sandbox.has_egress() => Err(no_way()),
            _ => Ok(sandbox),
        }
    }

    fn egress(&self, sandbox: &SandboxId) -> Result<EgressView, JobError> {
        let state = self.inner.rules.state();
        let (spec, door) = state.open.get(sandbox).ok_or(JobError::NotRunning)?;
        let door = door.upgrade().ok_or(JobError::NotRunning)?;
        Ok(view(spec, door.fetched()))
    }

    async fn set_egress(
        &self,
        sandbox: SandboxId,
        spec: EgressSpec,
    ) -> Result<EgressView, JobError> {
        let rules = &self.inner.rules;
        let _one_at_a_time = rules.changing.lock().await;
        rules.checked("", &spec)?;
        if !rules.state().open.contains_key(&sandbox) {
            return Err(JobError::NotRunning);
        }
        // Before it holds: a node that dies now must not wake up with the rules of before.
        self.inner.store.set_egress(sandbox.clone(), spec.clone()).await?;
        let mut state = rules.state();
        let policy = rules.now(&state, &spec);
        // It may have ended meanwhile.
        let (held, door) = state.open.get_mut(&sandbox).ok_or(JobError::NotRunning)?;
        let door = door.upgrade().ok_or(JobError::NotRunning)?;
        door.set_egress(policy);
        *held = spec;
        tracing::info!(sandbox = %sandbox, rules = held.egress.len(), "the rules of egress were changed");
        Ok(view(held, door.fetched()))
    }
}

fn view(spec: &EgressSpec, usage: Option<EgressUsage>) -> EgressView {
    EgressView { spec: spec.clone(), usage: usage.unwrap_or_default() }
}

/// Its proxy is not there, and can't be put beside a program that runs.
fn no_way() -> JobError {
    let mut faults = Faults::default();
    faults.add("egress", "the sandbox was made without a way out: its request had no egress rules");
    JobError::Refused(faults)
}
