//! The node: what callers may ask of it. The work is in the modules beside it.

use crate::{
    JobError, JobEvent, Metrics, NodeConfig, admission, artifacts, events,
    libraries::KnownSets,
    lifecycle,
    live::{LiveJob, LiveJobs},
    pool::{self, Pool},
    reconcile, room,
    rules::Rules,
    sandboxes::{Owned, Sandboxes},
    sessions::Sessions,
    stops::Stops,
    templates::{self, Templates},
    uploads,
};
use contracts::{
    JobId, TaskId, Version,
    event::Position,
    job::{
        JobList, JobRequest, JobResult, JobState, JobView, StopAllResponse, StopResponse,
        StopStatus, UploadResponse,
    },
    pool::PoolView,
    problem::Problem,
};
use executor::{Engine, Found};
use gate::Gate;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::{JobFilter, JobRow, Page, Store};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A handle to the node; clones are the same node.
#[derive(Clone)]
pub struct Node {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: NodeConfig,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) store: Store,
    pub(crate) jobs: LiveJobs,
    pub(crate) sessions: Sessions,
    pub(crate) stops: Stops,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) rules: Rules,
    /// One permit per job that may run.
    pub(crate) places: Arc<Semaphore>,
    /// For callers whose code waits for such a place.
    pub(crate) code_queue: Semaphore,
    pub(crate) metrics: Arc<Metrics>,
    /// What sets of libraries came down to.
    pub(crate) known_sets: KnownSets,
    pub(crate) templates: Templates,
    /// Owner of every task of the node; drained by `drain`.
    pub(crate) tasks: TaskTracker,
    /// New work is turned away.
    draining: AtomicBool,
    /// Whoever supervises a command lets go of it, for the next life to adopt.
    pub(crate) leaving: CancellationToken,
    /// The start-up reconciliation is done.
    settled: AtomicBool,
}

/// The end of a job as its caller is told it.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    Result(Box<JobResult>),
    Problem(Problem),
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    pub state: Option<JobState>,
    pub task_id: Option<TaskId>,
    pub limit: usize,
    pub page_token: Option<String>,
}

impl Node {
    /// Takes up where an earlier life stopped: adopts what runs, queues what waits, removes what is
    /// nobody's. Returns when that is decided; the jobs themselves go on.
    pub async fn start(
        config: NodeConfig,
        engine: Arc<dyn Engine>,
        store: Store,
    ) -> Result<Self, JobError> {
        let tasks = TaskTracker::new();
        let metrics = Arc::new(Metrics::default());
        let pool = Arc::new(Pool::new(config.pool.clone()));
        let engine_too = Arc::clone(&engine);
        let sandboxes = Sandboxes::new(
            engine_too,
            pool,
            config.gate.clone(),
            Arc::clone(&metrics),
            tasks.clone(),
        );
        let inner = Inner {
            places: Arc::new(Semaphore::new(config.max_running)),
            code_queue: Semaphore::new(config.max_queued),
            jobs: LiveJobs::default(),
            sessions: Sessions::default(),
            stops: Stops::default(),
            sandboxes,
            rules: Rules::new(&config.egress),
            metrics,
            known_sets: KnownSets::default(),
            templates: Templates::load(&store).await?,
            tasks,
            draining: AtomicBool::new(false),
            leaving: CancellationToken::new(),
            settled: AtomicBool::new(false),
            config,
            engine,
            store,
        };
        let node = Self { inner: Arc::new(inner) };
        reconcile::take_up(&node).await?;
        node.inner.settled.store(true, Ordering::Release);
        reconcile::keep_swept(&node);
        node.inner.tasks.spawn(pool::keep(node.clone()));
        node.inner.tasks.spawn(templates::keep(node.clone()));
        Ok(node)
    }

    /// Whether jobs can run now.
    pub async fn ready(&self) -> Result<(), JobError> {
        if self.is_draining() {
            return Err(JobError::Draining);
        }
        if !self.inner.settled.load(Ordering::Acquire) {
            return Err(JobError::fault("restart", "the node is still taking up its jobs"));
        }
        room::check(&self.inner.config)?;
        Ok(self.inner.engine.ready().await?)
    }

    /// Where inference leaves, on a node that has it.
    pub fn gate(&self) -> Option<&Gate> {
        self.inner.config.gate.as_ref()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.inner.engine
    }

    /// Accepts a job, or finds the one with its id.
    pub async fn submit(&self, request: JobRequest) -> Result<JobView, JobError> {
        match admission::admit(self, request).await? {
            admission::Admitted::Live(job) => Ok(job.view()),
            admission::Admitted::Past(row) => Ok(view(*row)),
        }
    }

    /// Accepts a job and waits for its end. Who stops waiting does not stop the job.
    pub async fn run(&self, request: JobRequest) -> Result<Ended, JobError> {
        match admission::admit(self, request).await? {
            admission::Admitted::Live(job) => match job.ended().await {
                Some(ended) => Ok(ended),
                // Let go of for the next life of the node: the caller asks again, and joins there.
                None => Err(JobError::Draining),
            },
            admission::Admitted::Past(row) => ended(*row),
        }
    }

    pub async fn job(&self, id: &JobId) -> Result<JobView, JobError> {
        if let Some(job) = self.inner.jobs.get(id) {
            return Ok(job.view());
        }
        Ok(view(self.row(id).await?))
    }

    pub(crate) async fn row(&self, id: &JobId) -> Result<JobRow, JobError> {
        self.inner.store.job(id.clone()).await?.ok_or(JobError::NotFound("job"))
    }

    pub async fn jobs(&self, query: JobQuery) -> Result<JobList, JobError> {
        let filter = JobFilter { state: query.state, task_id: query.task_id };
        let after = query.page_token.as_deref().map(parse_page).transpose()?;
        let mut rows = self.inner.store.jobs(filter, after, query.limit + 1).await?;
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let next = rows.last().filter(|_| more).map(Page::after);
        let next_page_token = next.map(|page| format!("{}.{}", page.submitted_at, page.job_id));
        let without_result = |row: JobRow| JobView { result: None, ..view(row) };
        let jobs = rows.into_iter().map(without_result).collect();
        Ok(JobList { version: Version, jobs, next_page_token })
    }

    /// The events of a job after a position, until its end.
    pub async fn events(
        &self,
        id: &JobId,
        after: Position,
    ) -> Result<mpsc::Receiver<JobEvent>, JobError> {
        events::follow(self, id, after).await
    }

    pub async fn stop(&self, task_id: TaskId, job_id: JobId) -> Result<StopResponse, JobError> {
        let job = self.inner.jobs.get(&job_id).filter(|job| job.request.task_id == task_id);
        let status = match job {
            Some(job) if self.cancel_live(&job).await? => StopStatus::Stopping,
            _ => StopStatus::NotRunning,
        };
        Ok(StopResponse { version: Version, task_id, job_id, status })
    }

    pub async fn cancel(&self, id: &JobId) -> Result<StopResponse, JobError> {
        let task_id = self.job(id).await?.task_id;
        self.stop(task_id, id.clone()).await
    }

    /// Remembers the wish before it acts on it, so that it outlives the node.
    async fn cancel_live(&self, job: &Arc<LiveJob>) -> Result<bool, JobError> {
        if job.has_ended() {
            return Ok(false);
        }
        self.inner.store.request_cancel(job.request.job_id.clone()).await?;
        job.cancel.cancel();
        Ok(true)
    }

    /// Bytes for the standard input of a running job that keeps it open.
    pub async fn stdin(&self, id: &JobId, data: Vec<u8>, close: bool) -> Result<(), JobError> {
        let Some(job) = self.inner.jobs.get(id) else {
            self.row(id).await?;
            return Err(JobError::NotRunning);
        };
        let sent = job.feed(data, close).await;
        if sent { Ok(()) } else { Err(JobError::NotRunning) }
    }

    /// The artifacts of an ended job, as a tar.
    pub async fn artifacts(&self, id: &JobId) -> Result<Vec<u8>, JobError> {
        self.row(id).await?;
        artifacts::read(&self.inner.config, id).await
    }

    pub async fn artifact(&self, id: &JobId, path: &str) -> Result<Vec<u8>, JobError> {
        artifacts::find(&self.artifacts(id).await?, path)
    }

    pub async fn upload(&self, tar: Vec<u8>) -> Result<UploadResponse, JobError> {
        uploads::keep(&self.inner.config, tar).await
    }

    /// Stops every job and ends every session: the orchestrator goes away.
    pub async fn stop_all(&self) -> Result<StopAllResponse, JobError> {
        self.inner.stops.stop();
        let (mut jobs_stopped, mut kept) = (0, Ok(()));
        for job in self.inner.jobs.all().iter().filter(|job| !job.has_ended()) {
            // A wish that can't be kept is no reason to let this one run, or the others.
            kept = kept.and(self.inner.store.request_cancel(job.request.job_id.clone()).await);
            job.cancel.cancel();
            jobs_stopped += 1;
        }
        let sessions_ended = self.inner.sessions.stop_all().await;
        kept?;
        Ok(StopAllResponse { version: Version, jobs_stopped, sessions_ended })
    }

    /// Every sandbox that the engine knows of, and whose it is.
    pub async fn containers(&self) -> Result<Vec<(Found, Option<Owned>)>, JobError> {
        let found = self.inner.engine.list().await?;
        let owner = |found: Found| {
            let owned = self.inner.sandboxes.owner(&found.sandbox);
            (found, owned)
        };
        Ok(found.into_iter().map(owner).collect())
    }

    /// What waits for work, by shape.
    pub fn pool(&self) -> PoolView {
        self.inner.sandboxes.pool.view()
    }

    pub fn is_draining(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }

    /// Turns new work away, gives running jobs a while to end, and lets go of the rest.
    pub async fn drain(&self, grace: Duration) {
        self.inner.draining.store(true, Ordering::Release);
        let all_ended = self.inner.jobs.wait_until_empty();
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            tracing::info!("jobs are left running for the next life of the node");
        }
        self.inner.leaving.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

pub(crate) use lifecycle::spawn as spawn_job;

pub(crate) fn view(row: JobRow) -> JobView {
    JobView {
        version: Version,
        task_id: row.task_id,
        job_id: row.job_id,
        state: row.state,
        submitted_at: row.submitted_at,
        started_at: row.started_at,
        result: row.result,
        problem: row.problem,
    }
}

fn ended(row: JobRow) -> Result<Ended, JobError> {
    match (row.result, row.problem) {
        (Some(result), _) => Ok(Ended::Result(Box::new(result))),
        (None, Some(problem)) => Ok(Ended::Problem(problem)),
        (None, None) => {
            Err(JobError::fault("store", "an ended job has neither result nor problem"))
        }
    }
}

fn parse_page(token: &str) -> Result<Page, JobError> {
    let page = token.split_once('.').and_then(|(at, id)| {
        let job_id = JobId::new(id).ok()?.to_string();
        Some(Page { submitted_at: at.parse().ok()?, job_id })
    });
    page.ok_or_else(|| {
        let mut faults = contracts::Faults::default();
        faults.add("page_token", "is not one that this node gave out");
        JobError::Invalid(faults)
    })
}
