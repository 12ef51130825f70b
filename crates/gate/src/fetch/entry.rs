//! The audit's entry of one fetch: opened with the verdict, written down when it is over, whichever
//! way it ends. One that is dropped was cut with its job.

use super::Fetching;
use crate::{
    Tenant,
    door::Inner,
    egress::{Audit, Denial, Direction, Permit, Reason},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

pub(super) struct Entry {
    pub(super) inner: Arc<Inner>,
    pub(super) fetching: Arc<Fetching>,
    task: String,
    job: String,
    began: Instant,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    state: Mutex<State>,
}

/// What becomes known on the way.
struct State {
    audit: Audit,
    status: Option<u16>,
    spent: Option<Reason>,
    end: &'static str,
}

impl Entry {
    /// Somebody is let through.
    pub(super) fn open(inner: &Arc<Inner>, tenant: &Tenant, permit: &Permit) -> Self {
        tenant.fetching.count_allowed();
        Self::new(inner, tenant, permit.audit(), "cut")
    }

    /// Somebody is not.
    pub(super) fn refuse(inner: &Arc<Inner>, tenant: &Tenant, denial: &Denial) {
        tenant.fetching.count_refused();
        inner.metrics.refused(denial.reason.code());
        let entry = Self::new(inner, tenant, denial.audit(), "refused");
        entry.answered(denial.status().as_u16());
    }

    fn new(inner: &Arc<Inner>, tenant: &Tenant, audit: Audit, end: &'static str) -> Self {
        Self {
            inner: Arc::clone(inner),
            fetching: Arc::clone(&tenant.fetching),
            task: tenant.task.clone(),
            job: tenant.job.clone(),
            began: Instant::now(),
            bytes_out: 0.into(),
            bytes_in: 0.into(),
            state: Mutex::new(State { audit, status: None, spent: None, end }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was let through turns out to be something else.
    pub(super) fn refused_late(&self, denial: &Denial) {
        self.fetching.count_refused();
        self.inner.metrics.refused(denial.reason.code());
        let mut state = self.state();
        (state.audit, state.end) = (denial.audit(), "refused");
    }

    /// It was let through and has begun, and a new policy does not let it go on.
    pub(super) fn cut(&self, denial: &Denial) {
        self.fetching.count_refused();
        tracing::debug!(%denial, "a fetch is broken off by a new policy");
        self.ends("policy_changed");
    }

    pub(super) fn answered(&self, status: u16) {
        self.state().status = Some(status);
    }

    pub(super) fn ends(&self, end: &'static str) {
        self.state().end = end;
    }

    /// Which bytes it would have needed more of.
    pub(super) fn spent(&self) -> Option<Reason> {
        self.state().spent
    }

    /// Counts bytes that are about to be passed on, if there are that many left.
    pub(super) fn spend(&self, direction: Direction, bytes: usize) -> Result<(), Reason> {
        if let Err(reason) = self.fetching.spend(direction, bytes) {
            self.state().spent = Some(reason);
            return Err(reason);
        }
        let counter = match direction {
            Direction::Out => &self.bytes_out,
            Direction::In => &self.bytes_in,
        };
        counter.fetch_add(bytes as u64, Relaxed);
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let state = self.state();
        let Audit { decision, way, target, reason, rule, addresses, class } = &state.audit;
        tracing::info!(
            target: "audit",
            task_id = %self.task,
            job_id = %self.job,
            rule = "egress",
            decision,
            way = way.code(),
            to = target,
            reason,
            allowed_by = rule,
            addresses = ?addresses,
            class = class.map(crate::egress::Class::code),
            status = state.status,
            bytes_out = self.bytes_out.load(Relaxed),
            bytes_in = self.bytes_in.load(Relaxed),
            total_ms = self.began.elapsed().as_micros() as f64 / 1000.0,
            end = state.end,
            "a fetch"
        );
    }
}
