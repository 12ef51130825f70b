//! Whether a job is taken. What is the caller's mistake is found here, before anything is kept.
//!
//! The id is taken in memory first, so that of three posts at once two wait for the third; then in
//! the store, so that the same holds across lives of the node.

use crate::{
    JobError, Node, chain, door,
    live::{LiveJob, Plan, Taken},
    node::spawn_job,
    room,
};
use contracts::{
    Faults,
    job::{JobRequest, JobState},
    limits::Limits,
    packages::Registries,
    sandbox::SandboxSpec,
};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use store::{Admission, JobRow};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// What `Retry-After` says on a full node: a job ends every few seconds on any busy one.
pub(crate) const RETRY_AFTER_S: u64 = 2;

pub(crate) enum Admitted {
    Live(Arc<LiveJob>),
    /// It ended before; this is how.
    Past(Box<JobRow>),
}

pub(crate) async fn admit(node: &Node, request: JobRequest) -> Result<Admitted, JobError> {
    let stop = node.inner.stops.watch();
    request.validate().map_err(JobError::Invalid)?;
    let hash = hash(&request)?;
    if let Some(job) = node.inner.jobs.get(&request.job_id) {
        return join(job, hash).await;
    }
    let plan = plan(node, &request.sandbox).await;
    let plan = match plan.and_then(|plan| room::check(&node.inner.config).map(|()| plan)) {
        Ok(plan) => plan,
        // What the node thinks of the request now does not matter to a job that it took before.
        Err(refusal) => match node.inner.store.job(request.job_id.clone()).await? {
            Some(row) => return past(row, hash),
            None => return Err(refusal),
        },
    };
    let submitted_at = OffsetDateTime::now_utc();
    let job = Arc::new(LiveJob::new(request, hash, plan, submitted_at));
    let most = node.inner.config.max_running + node.inner.config.max_queued;
    if node.is_draining() {
        return Err(JobError::Draining);
    }
    match node.inner.jobs.take(&job, most) {
        Taken::Inserted => {}
        Taken::By(other) => return join(other, hash).await,
        Taken::Full => {
            return Err(JobError::Full { retry_after_s: RETRY_AFTER_S });
        }
    }
    // From here on others may wait for this job. A caller who hangs up must not leave them waiting,
    // so what follows is a task of the node's own.
    let deciding = node.inner.tasks.spawn(keep(node.clone(), Arc::clone(&job), stop));
    deciding.await.unwrap_or_else(|e| Err(JobError::fault("admission", e)))
}

/// Writes the job down and starts it, or finds that it was there before.
async fn keep(
    node: Node,
    job: Arc<LiveJob>,
    stop: CancellationToken,
) -> Result<Admitted, JobError> {
    let id = &job.request.job_id;
    let kept = match node.inner.store.admit(row(&job)).await {
        Ok(Admission::New) => Ok(None),
        Ok(Admission::Known(row)) => again(&node, &job, row).await,
        Err(error) => Err(error.into()),
    };
    match kept {
        Ok(None) => {
            if stop.is_cancelled() {
                job.cancel.cancel();
            }
            // Who canceled it before it was written down had nothing to write the wish to.
            if job.cancel.is_cancelled()
                && let Err(error) = node.inner.store.request_cancel(id.clone()).await
            {
                tracing::warn!(job_id = %id, error = %chain(&error), "a wish is not kept");
            }
            spawn_job(&node, Arc::clone(&job));
            Ok(Admitted::Live(job))
        }
        other => {
            job.leave();
            node.inner.jobs.remove(id);
            other.and_then(|past| past.ok_or(JobError::Conflict))
        }
    }
}

/// A job with this id is in the store: the same one, which has ended, or another.
async fn again(node: &Node, job: &LiveJob, row: Box<JobRow>) -> Result<Option<Admitted>, JobError> {
    if row.request_hash != job.request_hash {
        return Err(JobError::Conflict);
    }
    if row.problem.is_some() && node.inner.store.retry(row.job_id.clone()).await? {
        return Ok(None);
    }
    Ok(Some(Admitted::Past(row)))
}

async fn join(job: Arc<LiveJob>, hash: [u8; 32]) -> Result<Admitted, JobError> {
    if job.request_hash == hash { Ok(Admitted::Live(job)) } else { Err(JobError::Conflict) }
}

fn past(row: JobRow, hash: [u8; 32]) -> Result<Admitted, JobError> {
    if row.request_hash == hash && row.state == JobState::Ended {
        return Ok(Admitted::Past(Box::new(row)));
    }
    Err(JobError::Conflict)
}

fn row(job: &LiveJob) -> JobRow {
    JobRow {
        job_id: job.request.job_id.clone(),
        task_id: job.request.task_id.clone(),
        request: job.request.clone(),
        request_hash: job.request_hash,
        state: JobState::Queued,
        submitted_at: job.submitted_at,
        started_at: None,
        deadline_at: None,
        sandbox: None,
        exec_started: false,
        cancel_requested: false,
        result: None,
        problem: None,
    }
}

/// Checks a sandbox against this node, and fixes what the request left open.
pub(crate) async fn plan(node: &Node, spec: &SandboxSpec) -> Result<Plan, JobError> {
    plan_to_install(node, spec, Registries::default()).await
}

/// One whose sandbox the node furnishes with libraries.
pub(crate) async fn plan_to_install(
    node: &Node,
    spec: &SandboxSpec,
    installs: Registries,
) -> Result<Plan, JobError> {
    let config = &node.inner.config;
    let egress = door::rules(node, spec)?;
    check_door(node, spec, installs).await?;
    let limits = Limits::granted(&spec.limits, &config.default_limits, &config.max_limits)
        .map_err(JobError::Refused)?;
    node.inner.engine.unenforceable(&limits).into_result().map_err(JobError::Refused)?;
    let image = spec.image.as_ref().unwrap_or(&config.default_image);
    let image = node.inner.engine.pin(image).await?;
    let asked = spec.timeout_seconds.map(Duration::from_secs);
    let timeout = asked.unwrap_or(config.default_timeout).min(config.max_timeout);
    Ok(Plan { image, limits, timeout, egress, installs })
}

/// Never a silent run without: a node that can't says so.
async fn check_door(node: &Node, spec: &SandboxSpec, installs: Registries) -> Result<(), JobError> {
    if !door::is_asked(spec) && installs.is_empty() {
        return Ok(());
    }
    let reason = match &node.inner.config.gate {
        None => "this node has no gate".to_owned(),
        Some(gate) if spec.use_inference && !gate.has_upstream() => {
            "this node has no upstream and no route".to_owned()
        }
        Some(gate) if !gate.has_registries(spec.registries().and(installs)) => {
            "this node does not serve all of these registries".to_owned()
        }
        Some(_) => match node.inner.engine.sidecar().await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_callers() => error.to_string(),
            Err(error) => return Err(error.into()),
        },
    };
    let asked = [
        ("sandbox.use_inference", spec.use_inference),
        ("sandbox.egress", !spec.egress.is_empty()),
        ("sandbox.egress_policy", spec.egress_policy.is_some()),
        ("sandbox.packages", !spec.packages.is_empty()),
        ("libraries", !installs.is_empty()),
    ];
    let mut faults = Faults::default();
    for (field, _) in asked.into_iter().filter(|(_, is_asked)| *is_asked) {
        faults.add(field, format!("can't be granted: {reason}"));
    }
    Err(JobError::Refused(faults))
}

/// Tells one request from another with the same id. The struct's own order makes it canonical.
pub(crate) fn hash<T: serde::Serialize>(request: &T) -> Result<[u8; 32], JobError> {
    let bytes = serde_json::to_vec(request).map_err(|e| JobError::fault("admission", e))?;
    Ok(Sha256::digest(bytes).into())
}
