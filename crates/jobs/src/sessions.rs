//! Session sandboxes: made once, used by many commands, ended by request, age, idleness or loss.

mod busy;
mod code;
mod creation;
mod exec;
mod files;
mod libraries;
mod lifetime;
mod terminals;

pub use code::{CodeEnd, Running};
use creation::{Turns, not_stopped};
pub use files::{Download, SessionFiles, Upload, Uploaded, Watching};
pub use terminals::{Attachment, TerminalNews};

use crate::{
    JobError, Node, admission, chain, door, help,
    kernels::{Kernels, context_name},
    live::Plan,
    metrics::Metrics,
    prepare, reconcile,
    sandboxes::{Claim, Owned},
    templates::Template,
};
use contracts::{
    SessionId, Version,
    packages::Registries,
    session::{SessionEnd, SessionList, SessionRequest, SessionState, SessionView},
};
use executor::{EngineError, Sandbox, Shape};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::SessionRow;
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// The open sessions, by id.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<SessionId, Arc<LiveSession>>>,
    /// Creations under way by id, so that of two with one id the second finds the first.
    creating: Mutex<HashMap<SessionId, Turns>>,
}

pub(crate) struct LiveSession {
    request: SessionRequest,
    request_hash: [u8; 32],
    plan: Plan,
    sandbox: Arc<Sandbox>,
    kernels: Kernels,
    terminals: terminals::Terminals,
    view: SessionView,
    metrics: Arc<Metrics>,
    activity: Mutex<Activity>,
    freezer: busy::Freezer,
    /// Tells the keeper of every change, and everybody else of the end.
    changed: watch::Sender<Option<SessionEnded>>,
    closed: watch::Sender<bool>,
}

/// Why and when a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionEnded {
    pub why: SessionEnd,
    /// Absent of those that ended before this was kept.
    pub at: Option<OffsetDateTime>,
}

struct Activity {
    commands: usize,
    last: Instant,
    /// When the cgroup was last looked at, and what it had counted.
    looked: Instant,
    cpu_us: u64,
    /// As renewed, and as callers are told.
    expires_at: OffsetDateTime,
    /// The same by a clock that nobody sets.
    expires: Instant,
    idle: Duration,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<LiveSession>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &SessionId) -> Option<Arc<LiveSession>> {
        self.open().get(id).cloned()
    }

    pub(crate) async fn stop_all(&self) -> u64 {
        let open: Vec<_> = self.open().values().cloned().collect();
        for session in &open {
            session.ask_to_end(SessionEnd::StopAll);
        }
        for session in &open {
            session.end(SessionEnd::StopAll).await;
        }
        open.len() as u64
    }
}

impl LiveSession {
    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask_to_end(&self, why: SessionEnd) {
        let at = Some(OffsetDateTime::now_utc());
        // The first reason stays.
        self.changed.send_if_modified(|end| {
            end.is_none() && {
                *end = Some(SessionEnded { why, at });
                true
            }
        });
    }

    fn ended(&self) -> Option<SessionEnded> {
        *self.changed.borrow()
    }

    /// A link that was lost because somebody has ended the session is no fault of ours.
    fn explain(&self, error: JobError) -> JobError {
        match (&error, self.ended()) {
            (JobError::Engine(EngineError::Link(_)), Some(ended)) => JobError::Gone(ended),
            _ => error,
        }
    }

    /// It then looks at the clock anew.
    fn wake_keeper(&self) {
        self.changed.send_modify(|_| {});
    }

    async fn end(&self, why: SessionEnd) {
        self.ask_to_end(why);
        let mut closed = self.closed.subscribe();
        // The keeper sets it as its last deed.
        let _keeper_gone = closed.wait_for(|closed| *closed).await;
    }

    /// Sees to it that the interpreter is there, or soon will be, when the first code comes.
    async fn prepare_kernel(&self, warm: bool) -> Result<(), JobError> {
        let Some(lang) = self.view.lang else { return Ok(()) };
        if warm {
            // It was started in a sandbox that waited, and does not know yet for whom.
            let mut untold = code::owned(ids(&self.view));
            untold.extend(prepare::ways_out(&self.request.sandbox));
            untold.extend(self.request.sandbox.env.clone());
            self.kernels.there_is(&context_name(lang, None), untold);
            return Ok(());
        }
        self.kernels.warm(lang).await
    }
}

impl Node {
    pub async fn create_session(&self, request: SessionRequest) -> Result<SessionView, JobError> {
        self.create(request, Registries::default(), None).await
    }

    /// Makes one whose sandbox has a way to registries, for the node to open, and what a template
    /// puts into it. Who stops waiting does not stop it: half-way its sandbox would be nobody's, and
    /// still counted as somebody's.
    async fn create(
        &self,
        request: SessionRequest,
        installs: Registries,
        template: Option<Arc<Template>>,
    ) -> Result<SessionView, JobError> {
        let (node, stop) = (self.clone(), self.inner.stops.watch());
        let made =
            async move { node.make_session(request, installs, template.as_deref(), stop).await };
        let made = self.inner.tasks.spawn(made).await;
        made.map_err(|e| JobError::fault("session", e))?
    }

    async fn make_session(
        &self,
        mut request: SessionRequest,
        installs: Registries,
        template: Option<&Template>,
        stop: CancellationToken,
    ) -> Result<SessionView, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let hash = admission::hash(&request)?;
        if self.is_draining() {
            return Err(JobError::Draining);
        }
        let inner = &self.inner;
        let id = request.session_id.clone();
        let creation = inner.sessions.creation(&id);
        let _one_at_a_time = creation.turn.lock().await;
        if let Some(row) = inner.store.session(request.session_id.clone()).await? {
            let same = row.request_hash == hash;
            return if same { Ok(row.view) } else { Err(JobError::Conflict) };
        }
        if !creation.takes_place(inner.config.session_max) {
            return Err(JobError::Full { retry_after_s: 10 });
        }
        let plan = admission::plan_to_install(self, &request.sandbox, installs).await?;
        not_stopped(&stop)?;
        let shape = plan.shape(&request.sandbox, request.lang, template);
        let owner = Owned::Session(request.task_id.clone(), request.session_id.clone());
        let claim = furnished(self, &shape, owner, template).await?;
        if let Some(template) = template {
            request.sandbox.env.extend(template.libraries_env(&claim.sandbox.places()));
        }
        if let Err(error) = prepare::files(&claim.sandbox, &request.sandbox, &inner.config).await {
            inner.sandboxes.release(claim.sandbox);
            return Err(error);
        }
        if let Err(error) = admit(self, &request, &plan, &claim.sandbox).await {
            inner.sandboxes.release(claim.sandbox);
            return Err(error);
        }
        let view = self.new_view(&request, &plan);
        let idle = Duration::from_secs(view.idle_seconds);
        let lifetime = (view.expires_at - view.created_at).unsigned_abs();
        let owner = help::Owner::Session { idle, lifetime };
        help::explain(self, &claim.sandbox, &request.sandbox, &plan, owner).await;
        let session = self.open_session(request, hash, plan, claim.sandbox, view);
        if stop.is_cancelled() {
            session.ask_to_end(SessionEnd::StopAll);
        }
        let prepared = session.prepare_kernel(claim.warm).await;
        let kept = match prepared {
            Ok(()) => inner.store.save_session(row(&session, &session.view)).await,
            Err(error) => {
                let ended = session.ended();
                session.end(SessionEnd::Lost).await;
                return Err(ended.map_or(error, JobError::Gone));
            }
        };
        if let Err(error) = kept {
            session.end(SessionEnd::Lost).await;
            return Err(error.into());
        }
        // Others knew its name, and may have ended it before it was there.
        match session.ended() {
            None => Ok(session.view.clone()),
            Some(ended) => {
                session.end(ended.why).await;
                Err(JobError::Gone(ended))
            }
        }
    }

    pub async fn session(&self, id: &SessionId) -> Result<SessionView, JobError> {
        let row = self.inner.store.session(id.clone()).await?;
        Ok(row.ok_or(JobError::NotFound("session"))?.view)
    }

    pub async fn sessions(&self) -> Result<SessionList, JobError> {
        let open = self.inner.sessions.open().values().map(|s| s.view()).collect();
        Ok(SessionList { version: Version, sessions: open })
    }

    pub async fn end_session(&self, id: &SessionId) -> Result<SessionView, JobError> {
        if let Some(session) = self.inner.sessions.get(id) {
            session.end(SessionEnd::Requested).await;
        }
        self.session(id).await
    }

    fn new_view(&self, request: &SessionRequest, plan: &Plan) -> SessionView {
        let config = &self.inner.config;
        let most = config.session_lifetime.as_secs();
        let lifetime = request.lifetime_seconds.unwrap_or(most).min(most);
        let most_idle = config.session_idle.as_secs();
        let idle = request.idle_seconds.unwrap_or(most_idle).min(most_idle);
        let created_at = OffsetDateTime::now_utc();
        SessionView {
            version: Version,
            task_id: request.task_id.clone(),
            session_id: request.session_id.clone(),
            state: SessionState::Active,
            ended: None,
            ended_at: None,
            created_at,
            expires_at: created_at + Duration::from_secs(lifetime),
            idle_seconds: idle,
            background: request.background,
            limits: plan.limits.clone(),
            lang: request.lang,
        }
    }

    fn open_session(
        &self,
        request: SessionRequest,
        request_hash: [u8; 32],
        plan: Plan,
        sandbox: Arc<Sandbox>,
        view: SessionView,
    ) -> Arc<LiveSession> {
        let places = sandbox.places();
        let reserved = prepare::reserved(&places, ids(&view));
        let env = prepare::environment(
            &plan.image.env,
            prepare::Ways::of(&request.sandbox),
            &request.sandbox.env,
            &reserved,
            &places,
        );
        let kernels = Kernels::new(Arc::clone(&sandbox), env, &plan);
        let now = Instant::now();
        let activity = Activity {
            commands: 0,
            last: now,
            looked: now,
            cpu_us: 0,
            expires_at: view.expires_at,
            expires: now + self.time_until(view.expires_at),
            idle: Duration::from_secs(view.idle_seconds),
        };
        let session = Arc::new(LiveSession {
            kernels,
            terminals: Default::default(),
            request,
            request_hash,
            plan,
            sandbox,
            view,
            metrics: Arc::clone(&self.inner.metrics),
            activity: Mutex::new(activity),
            freezer: busy::Freezer::default(),
            changed: watch::Sender::new(None),
            closed: watch::Sender::new(false),
        });
        let id = session.view.session_id.clone();
        self.inner.sessions.open().insert(id, Arc::clone(&session));
        self.inner.metrics.sessions.inc();
        self.inner.tasks.spawn(lifetime::keep(self.clone(), Arc::clone(&session)));
        session
    }
}

/// A sandbox of this shape, with all that a template puts into it.
async fn furnished(
    node: &Node,
    shape: &Shape,
    owner: Owned,
    template: Option<&Template>,
) -> Result<Claim, JobError> {
    if let Some(template) = template
        && node.inner.sandboxes.pool.waiting(template.mark()) == 0
    {
        template.may_try()?;
    }
    let claim = node.inner.sandboxes.get(shape, owner).await?;
    node.inner.metrics.sandbox_ready(claim.took.as_secs_f64(), claim.warm);
    if let Some(template) = template.filter(|_| !claim.warm)
        && let Err(error) = template.furnish_now(node, &claim.sandbox, &shape.image).await
    {
        node.inner.sandboxes.release(claim.sandbox);
        return Err(error);
    }
    Ok(claim)
}

async fn admit(
    node: &Node,
    request: &SessionRequest,
    plan: &Plan,
    sandbox: &Sandbox,
) -> Result<(), JobError> {
    let SessionRequest { task_id, session_id, sandbox: spec, .. } = request;
    let owner = (task_id.as_str(), session_id.as_str());
    door::admit(node, sandbox.id(), owner, spec, plan).await
}

/// A session of an earlier life: adopted, or told to be lost.
pub(crate) async fn take_up(node: &Node, row: SessionRow) -> Result<(), JobError> {
    let owner = Owned::Session(row.view.task_id.clone(), row.session_id.clone());
    let sandbox = match &row.sandbox {
        Some(id) => reconcile::adopt(node, id, owner).await,
        None => None,
    };
    let plan = reconcile::plan(node, &row.request.sandbox).await;
    match (sandbox, plan) {
        (Some(sandbox), Ok(plan)) => {
            if let Err(error) = admit(node, &row.request, &plan, &sandbox).await {
                // One that has lost its way out is lost, and no reason for the node not to start.
                tracing::error!(session_id = %row.session_id, error = %chain(&error), "not taken up");
                return lose(node, row, Some(sandbox)).await;
            }
            node.inner.metrics.adopted.inc();
            let interrupted = sandbox.adopted_execs();
            let session = node.open_session(row.request, row.request_hash, plan, sandbox, row.view);
            for kernel in session.sandbox.adopted_kernels() {
                session.kernels.there_is(&kernel, Vec::new());
            }
            node.take_up_terminals(&session);
            for (status, command) in interrupted {
                match session.kernels.take_up(&status) {
                    Some(cell) => {
                        let session = Arc::clone(&session);
                        let leaving = node.inner.leaving.clone();
                        let running = !status.exited;
                        node.inner.tasks.spawn(async move {
                            let Ok(_busy) = busy::Busy::begin(&session).await else { return };
                            let (cell, context) = cell;
                            let kernels = &session.kernels;
                            kernels.read_out(&cell, &context, command, running, leaving).await;
                        });
                    }
                    None => {
                        node.inner.tasks.spawn(exec::read_out(Arc::clone(&session), command));
                    }
                }
            }
            Ok(())
        }
        (sandbox, _) => lose(node, row, sandbox).await,
    }
}

async fn lose(node: &Node, row: SessionRow, sandbox: Option<Arc<Sandbox>>) -> Result<(), JobError> {
    if let Some(sandbox) = sandbox {
        node.inner.sandboxes.release(sandbox);
    }
    let (state, ended) = (SessionState::Ended, Some(SessionEnd::Lost));
    let ended_at = Some(OffsetDateTime::now_utc());
    let view = SessionView { state, ended, ended_at, ..row.view };
    node.inner.store.save_session(SessionRow { view, sandbox: None, ..row }).await?;
    Ok(())
}

fn ids(view: &SessionView) -> Vec<(&'static str, String)> {
    prepare::session_ids(&view.task_id, &view.session_id)
}

fn row(session: &LiveSession, view: &SessionView) -> SessionRow {
    SessionRow {
        session_id: view.session_id.clone(),
        request: session.request.clone(),
        request_hash: session.request_hash,
        view: view.clone(),
        sandbox: Some(session.sandbox.id().clone()),
    }
}

/// What an exec of an unknown session is told: gone, if it was there once.
pub(crate) async fn absent(node: &Node, id: &SessionId) -> JobError {
    match node.inner.store.session(id.clone()).await {
        Ok(Some(SessionRow { view: SessionView { ended, ended_at: at, .. }, .. })) => {
            JobError::Gone(SessionEnded { why: ended.unwrap_or(SessionEnd::Lost), at })
        }
        Ok(None) => JobError::NotFound("session"),
        Err(error) => error.into(),
    }
}
