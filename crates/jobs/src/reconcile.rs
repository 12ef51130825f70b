//! Making the store and the engine agree: at the start for everything, later for orphans.
//!
//! | the store says | the sandbox      | what happens                                           |
//! |----------------|------------------|--------------------------------------------------------|
//! | queued         | –                | it is queued again                                     |
//! | running        | runs             | it is adopted and goes on, its deadline as it was      |
//! | running        | is gone          | it ends with a problem: what became of it is not known |
//! | nothing        | is there         | it is removed                                          |

use crate::{
    JobError, Node, admission, artifacts, chain,
    lifecycle::{self, Resumed},
    live::{LiveJob, Plan, Taken},
    sandboxes::Owned,
    sessions, uploads,
};
use contracts::{
    SandboxId,
    job::JobState,
    problem::{Problem, ProblemType},
    sandbox::SandboxSpec,
};
use executor::{EngineError, Sandbox};
use std::{collections::HashSet, sync::Arc, time::Duration};
use store::{Ended, JobRow};
use time::OffsetDateTime;
use tokio::task::JoinSet;

/// Between tries at a start, when the engine fails.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// Sessions that are adopted at a time.
const ADOPTIONS: usize = 16;

pub(crate) async fn take_up(node: &Node) -> Result<(), JobError> {
    artifacts::forget_halves(&node.inner.config);
    let found = node.inner.engine.list().await?;
    let running: HashSet<SandboxId> =
        found.iter().filter(|found| found.running).map(|found| found.sandbox.clone()).collect();
    for row in node.inner.store.unfinished().await? {
        take_up_job(node, row, &running).await?;
    }
    take_up_sessions(node).await?;
    node.inner.store.keep_egress(found.into_iter().map(|found| found.sandbox).collect()).await?;
    sweep(node).await
}

/// Some at a time: each waits for its agent to call.
async fn take_up_sessions(node: &Node) -> Result<(), JobError> {
    let mut taken = JoinSet::new();
    for row in node.inner.store.active_sessions().await? {
        let node = node.clone();
        taken.spawn(async move { sessions::take_up(&node, row).await });
        if taken.len() >= ADOPTIONS
            && let Some(adopted) = taken.join_next().await
        {
            adopted.map_err(|e| JobError::fault("adopt", e))??;
        }
    }
    while let Some(adopted) = taken.join_next().await {
        adopted.map_err(|e| JobError::fault("adopt", e))??;
    }
    Ok(())
}

async fn take_up_job(
    node: &Node,
    row: JobRow,
    running: &HashSet<SandboxId>,
) -> Result<(), JobError> {
    let id = row.job_id.clone();
    let plan = match plan(node, &row.request.sandbox).await {
        Ok(plan) => plan,
        // The node was configured anew and would not take this job now.
        Err(error) => return give_up(node, &row, error.problem()).await,
    };
    let job = LiveJob::new(row.request.clone(), row.request_hash, plan, row.submitted_at);
    let job = Arc::new(job);
    if row.cancel_requested {
        job.cancel.cancel();
    }
    let Taken::Inserted = node.inner.jobs.take(&job, usize::MAX) else {
        return Ok(());
    };
    let (JobState::Running, Some(sandbox)) = (row.state, &row.sandbox) else {
        lifecycle::spawn(node, job);
        return Ok(());
    };
    let owner = Owned::Job(row.task_id.clone(), id.clone());
    let adopted = match running.contains(sandbox) {
        true => adopt(node, sandbox, owner).await,
        false => None,
    };
    match adopted {
        Some(adopted) => {
            tracing::info!(job_id = %id, sandbox = %sandbox, "adopted a running job");
            node.inner.metrics.adopted.inc();
            let started_at = row.started_at.unwrap_or(row.submitted_at);
            let deadline_at = row.deadline_at.unwrap_or(started_at);
            lifecycle::resume(node, job, Resumed { sandbox: adopted, started_at, deadline_at });
            Ok(())
        }
        None => {
            node.inner.jobs.remove(&id);
            let problem = Problem::new(ProblemType::Internal, 500, "The job was lost")
                .with_detail("its sandbox ended while the node was down; it may have run in part")
                .with_phase("restart");
            give_up(node, &row, problem).await
        }
    }
}

/// Decides about one that an earlier life took in. An engine that fails now and answers soon is no
/// reason to end what runs.
pub(crate) async fn plan(node: &Node, spec: &SandboxSpec) -> Result<Plan, JobError> {
    for pause in PAUSES {
        match admission::plan(node, spec).await {
            Err(error) if error.problem().status >= 500 => {
                tracing::warn!(error = %chain(&error), "a plan failed; it is made again");
                tokio::time::sleep(pause).await;
            }
            planned => return planned,
        }
    }
    admission::plan(node, spec).await
}

/// The sandbox, unless it is gone or its agent does not call.
pub(crate) async fn adopt(node: &Node, id: &SandboxId, owner: Owned) -> Option<Arc<Sandbox>> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match node.inner.sandboxes.adopt(id, owner.clone()).await {
            Ok(sandbox) => return Some(sandbox),
            Err(error) => error,
        };
        tracing::warn!(sandbox = %id, error = %chain(&error), "not adopted");
        let may_pass = matches!(error, EngineError::Unreachable(_));
        tokio::time::sleep(pauses.next().filter(|_| may_pass)?).await;
    }
}

async fn give_up(node: &Node, row: &JobRow, problem: Problem) -> Result<(), JobError> {
    tracing::warn!(job_id = %row.job_id, detail = problem.detail, "a job could not be taken up");
    node.inner.metrics.job_fault("restart");
    node.inner.store.finish(row.job_id.clone(), Err(problem)).await?;
    Ok(())
}

/// Removes sandboxes that nobody owns: those of a crash, a full pool's worth of them perhaps.
async fn sweep(node: &Node) -> Result<(), JobError> {
    let mut removals = JoinSet::new();
    for found in node.inner.engine.list().await? {
        if node.inner.sandboxes.owner(&found.sandbox).is_none() {
            removals.spawn(remove_orphan(node.clone(), found.sandbox));
        }
    }
    while removals.join_next().await.is_some() {}
    Ok(())
}

async fn remove_orphan(node: Node, id: SandboxId) {
    tracing::info!(sandbox = %id, "swept a sandbox without an owner");
    match node.inner.sandboxes.remove(&id).await {
        Ok(()) => drop(node.inner.metrics.swept.inc()),
        Err(error) => {
            node.inner.metrics.removal_failures.inc();
            tracing::warn!(sandbox = %id, error = %chain(&error), "it stays for now");
        }
    }
}

/// The regular rounds: orphans, and what has outlived its retention.
pub(crate) fn keep_swept(node: &Node) {
    let node = node.clone();
    node.inner.tasks.clone().spawn(async move {
        let mut rounds = tokio::time::interval(node.inner.config.sweep_every);
        rounds.tick().await;
        if let Err(error) = forget_outlived(&node).await {
            tracing::warn!(error = %chain(&error), "the next round tries again");
        }
        loop {
            tokio::select! {
                () = node.inner.leaving.cancelled() => return,
                _ = rounds.tick() => {}
            }
            if let Err(error) = round(&node).await {
                tracing::warn!(error = %chain(&error), "a sweep failed; the next one tries again");
            }
        }
    });
}

async fn round(node: &Node) -> Result<(), JobError> {
    // First, and whatever comes of it: an engine that does not answer is no reason to keep what has
    // outlived its time, and neither is one that takes long.
    uploads::sweep(&node.inner.config).await;
    let forgotten = forget_outlived(node).await;
    sweep(node).await?;
    forgotten
}

/// Forgets the oldest results, until those that are left may be kept. Their artifacts go first: in
/// this order a crash leaves no file that nobody knows of.
async fn forget_outlived(node: &Node) -> Result<(), JobError> {
    let (config, store) = (&node.inner.config, &node.inner.store);
    let retention = time::Duration::try_from(config.retention).unwrap_or(time::Duration::MAX);
    let before = OffsetDateTime::now_utc().checked_sub(retention);
    let before = before.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    loop {
        let outlived = store.outlived(before, config.retention_most).await?;
        node.inner.metrics.forgets(&outlived);
        if outlived.is_empty() {
            break;
        }
        for gone in &outlived {
            if let Ended::Job(id) = &gone.who {
                artifacts::forget(config, id).await;
            }
        }
        store.forget(outlived).await?;
    }
    node.inner.metrics.keeps(store.kept().await?);
    Ok(())
}
