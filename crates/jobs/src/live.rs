//! Jobs of this life of the node: what they have written so far, and who waits for them.

use crate::{door, node::Ended, templates::Template};
use contracts::{
    JobId, Version,
    code::Language,
    event::Position,
    job::{JobRequest, JobState, JobView},
    packages::Registries,
    sandbox::SandboxSpec,
};
use executor::{PinnedImage, Shape};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Pieces of standard input that may wait for a job; who sends more waits.
const STDIN_PIECES: usize = 16;

/// What admission decided once and for all.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) image: Arc<PinnedImage>,
    pub(crate) limits: contracts::limits::Limits,
    pub(crate) timeout: Duration,
    /// What might be fetched when it was admitted, where anything might.
    pub(crate) egress: Option<Arc<gate::egress::Policy>>,
    /// Registries that the node itself installs from, before code runs.
    pub(crate) installs: Registries,
}

impl Plan {
    /// What a sandbox for it looks like, and so which of those that wait will do.
    pub(crate) fn shape(
        &self,
        spec: &SandboxSpec,
        kernel: Option<Language>,
        template: Option<&Template>,
    ) -> Shape {
        Shape {
            image: Arc::clone(&self.image),
            limits: self.limits.clone(),
            network: spec.network_policy,
            door: door::is_asked(spec) || !self.installs.is_empty(),
            kernel,
            template: template.map(|template| Arc::clone(template.mark())),
        }
    }
}

pub(crate) struct LiveJob {
    pub(crate) request: JobRequest,
    pub(crate) request_hash: [u8; 32],
    pub(crate) plan: Plan,
    pub(crate) submitted_at: OffsetDateTime,
    pub(crate) queued: Instant,
    pub(crate) cancel: CancellationToken,
    progress: Mutex<Progress>,
    /// Counts changes of the progress; closes never, but a left job is marked as such.
    changed: watch::Sender<u64>,
    stdin: mpsc::Sender<StdinPiece>,
    stdin_end: Mutex<Option<mpsc::Receiver<StdinPiece>>>,
}

pub(crate) enum StdinPiece {
    Data(Vec<u8>),
    End,
}

#[derive(Default)]
struct Progress {
    started_at: Option<OffsetDateTime>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ended: Option<Ended>,
    /// Never admitted, or let go of: nobody will tell its end in this life.
    left: bool,
}

/// What a reader of the events has not seen yet.
pub(crate) struct News {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) over: bool,
}

impl LiveJob {
    pub(crate) fn new(
        request: JobRequest,
        request_hash: [u8; 32],
        plan: Plan,
        submitted_at: OffsetDateTime,
    ) -> Self {
        let (stdin, stdin_end) = mpsc::channel(STDIN_PIECES);
        Self {
            request,
            request_hash,
            plan,
            submitted_at,
            queued: Instant::now(),
            cancel: CancellationToken::new(),
            progress: Mutex::default(),
            changed: watch::Sender::new(0),
            stdin,
            stdin_end: Mutex::new(Some(stdin_end)),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress());
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn start(&self, at: OffsetDateTime) {
        self.change(|progress| progress.started_at = Some(at));
    }

    pub(crate) fn wrote_stdout(&self, data: &[u8]) {
        self.change(|progress| progress.stdout.extend_from_slice(data));
    }

    pub(crate) fn wrote_stderr(&self, data: &[u8]) {
        self.change(|progress| progress.stderr.extend_from_slice(data));
    }

    pub(crate) fn captured(&self) -> (Vec<u8>, Vec<u8>) {
        let progress = self.progress();
        (progress.stdout.clone(), progress.stderr.clone())
    }

    pub(crate) fn end(&self, ended: Ended) {
        self.change(|progress| progress.ended = Some(ended));
        self.read_no_more();
    }

    pub(crate) fn leave(&self) {
        self.change(|progress| progress.left = true);
        self.read_no_more();
    }

    /// Whoever still waits to hand something to standard input is told so: a job that never ran has
    /// nobody who took its other end.
    fn read_no_more(&self) {
        drop(self.take_stdin());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.progress().ended.is_some()
    }

    pub(crate) fn view(&self) -> JobView {
        let progress = self.progress();
        let (result, problem) = match progress.ended.clone() {
            Some(Ended::Result(result)) => (Some(*result), None),
            Some(Ended::Problem(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        JobView {
            version: Version,
            task_id: self.request.task_id.clone(),
            job_id: self.request.job_id.clone(),
            state: match (&progress.ended, progress.started_at) {
                (Some(_), _) => JobState::Ended,
                (None, Some(_)) => JobState::Running,
                (None, None) => JobState::Queued,
            },
            submitted_at: self.submitted_at,
            started_at: progress.started_at,
            result,
            problem,
        }
    }

    /// Waits for the end; `None` when this life of the node will not see it.
    pub(crate) async fn ended(&self) -> Option<Ended> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let progress = self.progress();
                if progress.ended.is_some() || progress.left {
                    return progress.ended.clone();
                }
            }
            changed.changed().await.ok()?;
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn news(&self, after: Position) -> News {
        let progress = self.progress();
        let rest = |all: &[u8], seen: u64| all.get(seen as usize..).unwrap_or_default().to_vec();
        News {
            stdout: rest(&progress.stdout, after.stdout),
            stderr: rest(&progress.stderr, after.stderr),
            over: progress.ended.is_some() || progress.left,
        }
    }

    /// Hands bytes to the job's standard input; `false` when nobody reads them any more.
    pub(crate) async fn feed(&self, data: Vec<u8>, close: bool) -> bool {
        if !self.request.sandbox.stdin_open || self.has_ended() {
            return false;
        }
        let mut sent = data.is_empty() || self.stdin.send(StdinPiece::Data(data)).await.is_ok();
        if close {
            sent &= self.stdin.send(StdinPiece::End).await.is_ok();
        }
        sent
    }

    /// The other end of `feed`, for whoever supervises the command; once.
    pub(crate) fn take_stdin(&self) -> Option<mpsc::Receiver<StdinPiece>> {
        self.stdin_end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The jobs that have not ended, by id.
#[derive(Default)]
pub(crate) struct LiveJobs {
    jobs: Mutex<HashMap<JobId, Arc<LiveJob>>>,
    emptied: watch::Sender<()>,
}

/// Whether an id was free.
pub(crate) enum Taken {
    Inserted,
    By(Arc<LiveJob>),
    /// No more jobs are taken.
    Full,
}

impl LiveJobs {
    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, Arc<LiveJob>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &JobId) -> Option<Arc<LiveJob>> {
        self.jobs().get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LiveJob>> {
        self.jobs().values().cloned().collect()
    }

    pub(crate) fn take(&self, job: &Arc<LiveJob>, most: usize) -> Taken {
        let mut jobs = self.jobs();
        let count = jobs.len();
        match jobs.entry(job.request.job_id.clone()) {
            Entry::Occupied(other) => Taken::By(Arc::clone(other.get())),
            Entry::Vacant(_) if count >= most => Taken::Full,
            Entry::Vacant(place) => {
                place.insert(Arc::clone(job));
                Taken::Inserted
            }
        }
    }

    /// Forgets a job; its waiters hold it themselves.
    pub(crate) fn remove(&self, id: &JobId) {
        self.jobs().remove(id);
        self.emptied.send_replace(());
    }

    pub(crate) async fn wait_until_empty(&self) {
        let mut emptied = self.emptied.subscribe();
        while !self.jobs().is_empty() {
            if emptied.changed().await.is_err() {
                return;
            }
        }
    }
}
