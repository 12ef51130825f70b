//! One job, from the queue to its end.
//!
//! ```text
//!   wait for a place ─► claim ─► assign (kept) ─► files ─► Start ─► supervise ─► collect ─► finish
//!        │                │           │             │                  │            │         │
//!        └─ cancel        └───────────┴── fault ────┴──── lost ────────┴────────────┘      (kept)
//! ```
//!
//! The assignment is kept before the command is sent: after a crash the command is in that sandbox
//! or nowhere. The result is kept before anybody is told. Removal comes last, off the path.

use crate::{
    JobError, Node, artifacts, chain,
    door::{self, Spent},
    help::{self, Owner},
    live::{LiveJob, StdinPiece},
    node::Ended,
    outcome::{self, Captured, Intent, Times},
    prepare,
    sandboxes::{Claim, Owned},
    supervise::{End, Feeding, SIGTERM, Watch},
};
use contracts::{
    Version,
    job::{Isolation, JobRequest, JobResult, Timings},
    link::{End as ExecEnd, ExecId, Exited, Stream},
    problem::Problem,
    sandbox::env,
};
use executor::{Counters, EngineError, Exec, LinkError, Sandbox};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use time::OffsetDateTime;

/// Between two tries to keep the end of a job.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How a job's supervision ended.
enum Fate {
    Ended(Box<JobResult>),
    /// The node let go of it; its next life goes on.
    Left,
}

/// A job whose sandbox was adopted: the sandbox, when it was to end, and when it began.
pub(crate) struct Resumed {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) started_at: OffsetDateTime,
    pub(crate) deadline_at: OffsetDateTime,
}

/// Runs a new job in a task of the node's own.
pub(crate) fn spawn(node: &Node, job: Arc<LiveJob>) {
    node.inner.tasks.spawn(live(node.clone(), job, None));
}

pub(crate) fn resume(node: &Node, job: Arc<LiveJob>, resumed: Resumed) {
    node.inner.tasks.spawn(live(node.clone(), job, Some(resumed)));
}

async fn live(node: Node, job: Arc<LiveJob>, resumed: Option<Resumed>) {
    let id = job.request.job_id.clone();
    let run = Run { node: &node, job: &job };
    let (sandbox, fate) = match resumed {
        Some(resumed) => {
            let sandbox = Arc::clone(&resumed.sandbox);
            (Some(sandbox), run.resume(resumed).await)
        }
        None => run.wait_and_run().await,
    };
    let end = match fate {
        Ok(Fate::Left) => {
            if let Some(sandbox) = sandbox {
                sandbox.leave().await;
            }
            job.leave();
            node.inner.jobs.remove(&id);
            return;
        }
        Ok(Fate::Ended(result)) => Ok(*result),
        Err(error) => {
            tracing::error!(job_id = %id, error = %chain(&error), "the job ended by our fault");
            Err(error.problem())
        }
    };
    let kept = finish(&node, &job, end).await;
    if !kept {
        job.leave();
    }
    node.inner.jobs.remove(&id);
    match sandbox {
        Some(sandbox) if kept => node.inner.sandboxes.release(sandbox),
        Some(sandbox) => sandbox.leave().await,
        None => {}
    }
}

/// Keeps the end, then tells it. What can't be kept, on a disk that is full say, is not told and tried
/// again; `false` when the node leaves before, and its next life looks into it anew.
async fn finish(node: &Node, job: &LiveJob, end: Result<JobResult, Problem>) -> bool {
    let id = &job.request.job_id;
    let mut pause = FIRST_PAUSE;
    while let Err(error) = node.inner.store.finish(id.clone(), end.clone()).await {
        tracing::error!(job_id = %id, error = %chain(&error), "the end of a job could not be kept");
        tokio::select! {
            () = node.inner.leaving.cancelled() => return false,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    match end {
        Ok(result) => {
            let (status, reason) = (result.outcome.status, result.outcome.reason);
            let (exit_code, wall_ms) = (result.outcome.exit_code, result.outcome.usage.wall_ms);
            // Who waits is told first: a log line is a write to a pipe that may be full.
            job.end(Ended::Result(Box::new(result)));
            node.inner.metrics.job_ended(status, reason);
            let task_id = &job.request.task_id;
            tracing::info!(job_id = %id, %task_id, ?status, ?reason, exit_code, wall_ms, "job ended");
        }
        Err(problem) => {
            node.inner.metrics.job_fault(problem.phase.as_deref().unwrap_or("unknown"));
            job.end(Ended::Problem(problem));
        }
    }
    true
}

struct Run<'a> {
    node: &'a Node,
    job: &'a Arc<LiveJob>,
}

impl Run<'_> {
    /// The sandbox comes back with the fate: it is let go of when the end has been told.
    async fn wait_and_run(&self) -> (Option<Arc<Sandbox>>, Result<Fate, JobError>) {
        let inner = &self.node.inner;
        inner.metrics.queued.inc();
        let place = tokio::select! {
            biased;
            () = self.job.cancel.cancelled() => None,
            () = inner.leaving.cancelled() => {
                inner.metrics.queued.dec();
                return (None, Ok(Fate::Left));
            }
            place = Arc::clone(&inner.places).acquire_owned() => place.ok(),
        };
        inner.metrics.queued.dec();
        let Some(_place) = place else {
            return (None, Ok(self.never_ran()));
        };
        let queued = self.job.queued.elapsed();
        let claim = match self.claim().await {
            Ok(claim) => claim,
            Err(error) => return (None, Err(error)),
        };
        if self.job.cancel.is_cancelled() {
            // While its sandbox was made. A node that leaves now must not leave this one running.
            return (Some(claim.sandbox), Ok(self.never_ran()));
        }
        let timings = timings(queued, &claim);
        let fate = self.in_sandbox(&claim.sandbox, timings).await;
        (Some(claim.sandbox), fate)
    }

    async fn claim(&self) -> Result<Claim, JobError> {
        let inner = &self.node.inner;
        let request = &self.job.request;
        let shape = self.job.plan.shape(&request.sandbox, None, None);
        let owner = Owned::Job(request.task_id.clone(), request.job_id.clone());
        let claim = inner.sandboxes.get(&shape, owner).await?;
        inner.metrics.sandbox_ready(claim.took.as_secs_f64(), claim.warm);
        Ok(claim)
    }

    async fn in_sandbox(&self, sandbox: &Sandbox, timings: Timings) -> Result<Fate, JobError> {
        let started_at = OffsetDateTime::now_utc();
        let deadline_at = started_at + self.job.plan.timeout;
        let (id, sandbox_id) = (self.job.request.job_id.clone(), sandbox.id().clone());
        self.node.inner.store.assign(id, sandbox_id, started_at, deadline_at).await?;
        self.job.start(started_at);
        self.admit(sandbox).await?;
        let started = (self.start(sandbox).await?, Some(0));
        self.watch(sandbox, started, started_at, deadline_at, timings).await
    }

    async fn admit(&self, sandbox: &Sandbox) -> Result<(), JobError> {
        let JobRequest { task_id, job_id, sandbox: spec, .. } = &self.job.request;
        let owner = (task_id.as_str(), job_id.as_str());
        door::admit(self.node, sandbox.id(), owner, spec, &self.job.plan).await
    }

    /// Puts the files in place and sends the command.
    async fn start(&self, sandbox: &Sandbox) -> Result<Exec, JobError> {
        let config = &self.node.inner.config;
        let request = &self.job.request;
        let spec = &request.sandbox;
        prepare::files(sandbox, spec, config).await?;
        let plan = &self.job.plan;
        let owner = Owner::Job { timeout: plan.timeout, artifacts: &spec.artifacts };
        help::explain(self.node, sandbox, spec, plan, owner).await;
        let places = sandbox.places();
        let ids = vec![
            (env::TASK_ID, request.task_id.to_string()),
            (env::JOB_ID, request.job_id.to_string()),
        ];
        let reserved = prepare::reserved(&places, ids);
        let command = prepare::job_command(spec, plan, &reserved, &places, config.flood_bytes);
        Ok(sandbox.start(command).await?)
    }

    /// What the command is given to read: the request's text, from where the agent has it, and then
    /// what is sent for it. Whose agent does not say gets no text: the end of a half would be a lie.
    fn feeding<'a>(
        &'a self,
        sandbox: &'a Sandbox,
        exec: ExecId,
        given: Option<u64>,
    ) -> Option<Feeding<'a>> {
        let spec = &self.job.request.sandbox;
        let sent = self.job.take_stdin().filter(|_| spec.stdin_open);
        let text = spec.stdin.as_deref().unwrap_or_default().as_bytes();
        let rest = given.map(|given| text.get(given as usize..).unwrap_or_default());
        let reads = spec.stdin.is_some() || spec.stdin_open;
        if !reads || (rest.is_none() && sent.is_none()) {
            return None;
        }
        Some(Box::pin(async move {
            sandbox.stdin(exec, rest.unwrap_or_default()).await?;
            if let Some(mut sent) = sent {
                while let Some(StdinPiece::Data(data)) = sent.recv().await {
                    sandbox.stdin(exec, &data).await?;
                }
            }
            sandbox.end_stdin(exec).await
        }))
    }

    async fn resume(&self, resumed: Resumed) -> Result<Fate, JobError> {
        let Resumed { sandbox, started_at, deadline_at } = resumed;
        self.job.start(started_at);
        // The places are for new jobs to wait for; one that runs already only counts.
        let _place = Arc::clone(&self.node.inner.places).try_acquire_owned();
        self.admit(&sandbox).await?;
        let started = match sandbox.adopted_execs().pop() {
            Some((status, exec)) => (exec, status.stdin),
            // Assigned, and the command never arrived.
            None => (self.start(&sandbox).await?, Some(0)),
        };
        let timings = Timings::default();
        self.watch(&sandbox, started, started_at, deadline_at, timings).await
    }

    async fn watch(
        &self,
        sandbox: &Sandbox,
        (mut exec, given): (Exec, Option<u64>),
        started_at: OffsetDateTime,
        deadline_at: OffsetDateTime,
        mut timings: Timings,
    ) -> Result<Fate, JobError> {
        let inner = &self.node.inner;
        inner.metrics.running.inc();
        let left = (deadline_at - OffsetDateTime::now_utc()).max(time::Duration::ZERO);
        let watch = Watch {
            sandbox,
            ask: SIGTERM,
            // Never more than it was granted, whatever the clock was when that was written down.
            deadline: tokio::time::Instant::now() + left.unsigned_abs().min(self.job.plan.timeout),
            term_grace: inner.config.term_grace,
            stop_grace: inner.config.stop_grace,
            cancel: &self.job.cancel,
            leaving: &inner.leaving,
            feeding: self.feeding(sandbox, exec.id(), given),
        };
        let began = Instant::now();
        let end = watch.until_end(&mut exec, |stream, data| match stream {
            Stream::Stdout => self.job.wrote_stdout(data),
            Stream::Stderr => self.job.wrote_stderr(data),
            // A command has none.
            Stream::Display => {}
        });
        let end = tokio::select! {
            biased;
            phase = sandbox.broken() => Err(phase),
            end = end => match end {
                // A program whose calls broke with the sidecar may be quicker than the news of it.
                End::Exited(..) if sandbox.is_broken() => Err(sandbox.broken().await),
                end => Ok(end),
            },
        };
        timings.run_ms = millis(began.elapsed());
        inner.metrics.running.dec();
        let ended_at = OffsetDateTime::now_utc();
        let times = Times { started_at, ended_at, timings };
        let end =
            end.map_err(|phase| JobError::fault(phase, "the sidecar ended before the job"))?;
        match end {
            End::Left => Ok(Fate::Left),
            End::Exited(exited, intent) => self.ended(sandbox, exited, intent, times).await,
            End::Lost(intent) => self.lost(sandbox, intent, times).await,
        }
    }

    async fn ended(
        &self,
        sandbox: &Sandbox,
        exited: Exited,
        intent: Option<Intent>,
        times: Times,
    ) -> Result<Fate, JobError> {
        let counters = sandbox.counters().await;
        let spent = door::settle(self.node, sandbox.id(), &self.job.request.sandbox).await;
        let verdict = outcome::judge(&exited, intent, counters.oom_kills > 0);
        let left = match exited.end {
            ExecEnd::NotExecuted { .. } => artifacts::Left::default(),
            _ => {
                let request = &self.job.request;
                let globs = &request.sandbox.artifacts;
                let asked = artifacts::Asked {
                    globs,
                    in_folder: exited.artifacts,
                    result: request.sandbox.job_spec_json.is_some(),
                };
                let config = &self.node.inner.config;
                match artifacts::collect(sandbox, asked, config, &request.job_id).await {
                    // A program can leave so much behind that there is no memory to look through it.
                    Err(JobError::Engine(EngineError::Link(LinkError::Lost))) => {
                        return self.lost(sandbox, intent, times).await;
                    }
                    left => left?,
                }
            }
        };
        let result = self.result(verdict, Some(&exited), counters, times);
        Ok(Fate::Ended(Box::new(JobResult {
            artifacts: left.artifacts,
            artifacts_truncated: left.truncated,
            sba_result: left.sba_result,
            inference: spent.inference,
            egress: spent.egress,
            isolation: isolation(sandbox),
            ..result
        })))
    }

    /// Silence that we can explain is a result; other silence is our fault.
    async fn lost(
        &self,
        sandbox: &Sandbox,
        intent: Option<Intent>,
        times: Times,
    ) -> Result<Fate, JobError> {
        let counters = sandbox.counters().await;
        let verdict = outcome::judge_lost(intent, counters.oom_kills > 0);
        let verdict = verdict.ok_or(LinkError::Lost)?;
        let spent = door::settle(self.node, sandbox.id(), &self.job.request.sandbox).await;
        let result = self.result(verdict, None, counters, times);
        let (Spent { inference, egress }, isolation) = (spent, isolation(sandbox));
        Ok(Fate::Ended(Box::new(JobResult { inference, egress, isolation, ..result })))
    }

    /// Canceled before it had a sandbox.
    fn never_ran(&self) -> Fate {
        let now = OffsetDateTime::now_utc();
        let timings = Timings { queue_ms: millis(self.job.queued.elapsed()), ..Timings::default() };
        let times = Times { started_at: now, ended_at: now, timings };
        let silent = outcome::judge_lost(Some(Intent::Cancel), false);
        let canceled = silent.map(|verdict| self.result(verdict, None, Counters::default(), times));
        canceled.map_or(Fate::Left, |result| Fate::Ended(Box::new(result)))
    }

    fn result(
        &self,
        verdict: outcome::Verdict,
        exited: Option<&Exited>,
        counters: Counters,
        times: Times,
    ) -> JobResult {
        let (stdout, stderr) = self.job.captured();
        let captured = Captured { stdout, stderr };
        let limits = self.job.plan.limits.clone();
        JobResult {
            version: Version,
            task_id: self.job.request.task_id.clone(),
            job_id: self.job.request.job_id.clone(),
            outcome: outcome::outcome(verdict, &captured, exited, counters, times, limits),
            artifacts: Vec::new(),
            artifacts_truncated: false,
            sba_result: None,
            inference: None,
            egress: None,
            isolation: None,
        }
    }
}

fn isolation(sandbox: &Sandbox) -> Option<Isolation> {
    Some(Isolation { landlock: sandbox.landlock().to_string() })
}

pub(crate) fn timings(queued: Duration, claim: &Claim) -> Timings {
    let (queue_ms, sandbox_ms) = (millis(queued), millis(claim.took));
    Timings { queue_ms, sandbox_ms, warm: claim.warm, run_ms: 0.0 }
}

/// Milliseconds with three decimals.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
