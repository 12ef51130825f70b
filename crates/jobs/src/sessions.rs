//! Session sandboxes: made once, used by many commands, ended by request, age, idleness or loss.
//!
//! ```text
//!   create ─► active ──exec, exec, …──► active
//!                │
//!                └── end, lifetime, idle, stop-all, lost ─► ended (told for the retention)
//! ```

mod busy;
mod code;
mod exec;

pub use code::{CodeEnd, Running};

use crate::{
    JobError, Node, admission, chain, door,
    kernels::{Kernels, context_name},
    live::Plan,
    prepare,
    sandboxes::Owned,
};
use contracts::{
    SessionId, Version,
    session::{SessionEnd, SessionList, SessionRequest, SessionState, SessionView},
};
use executor::{Sandbox, Shape};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::SessionRow;
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};

/// The open sessions, by id.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<SessionId, Arc<LiveSession>>>,
    /// Serialises creations, so that of two with one id the second finds the first.
    creating: tokio::sync::Mutex<()>,
}

pub(crate) struct LiveSession {
    request: SessionRequest,
    request_hash: [u8; 32],
    plan: Plan,
    sandbox: Arc<Sandbox>,
    kernels: Kernels,
    view: SessionView,
    activity: Mutex<Activity>,
    /// Tells the keeper of every change, and everybody else of the end.
    changed: watch::Sender<Option<SessionEnd>>,
    closed: watch::Sender<bool>,
}

struct Activity {
    commands: usize,
    last: Instant,
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
        // The first reason stays.
        self.changed.send_if_modified(|end| {
            end.is_none() && {
                *end = Some(why);
                true
            }
        });
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

    /// When idleness ends the session, if nothing happens; never while a command runs.
    fn idle_at(&self) -> Option<Instant> {
        let activity = self.activity();
        let idle = Duration::from_secs(self.view.idle_seconds);
        (activity.commands == 0).then(|| activity.last + idle)
    }
}

impl Node {
    pub async fn create_session(&self, request: SessionRequest) -> Result<SessionView, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let hash = admission::hash(&request)?;
        if self.is_draining() {
            return Err(JobError::Draining);
        }
        let inner = &self.inner;
        let _one_at_a_time = inner.sessions.creating.lock().await;
        if let Some(row) = inner.store.session(request.session_id.clone()).await? {
            let same = row.request_hash == hash;
            return if same { Ok(row.view) } else { Err(JobError::Conflict) };
        }
        if inner.sessions.open().len() >= inner.config.session_max {
            return Err(JobError::Full { retry_after_s: 10 });
        }
        let plan = admission::plan(self, &request.sandbox).await?;
        let shape = Shape {
            image: Arc::clone(&plan.image),
            limits: plan.limits.clone(),
            network: request.sandbox.network_policy,
            door: door::is_asked(&request.sandbox),
            kernel: request.lang,
        };
        let owner = Owned::Session(request.task_id.clone(), request.session_id.clone());
        let claim = inner.sandboxes.get(&shape, owner).await?;
        inner.metrics.sandbox_ready(claim.took.as_secs_f64(), claim.warm);
        if let Err(error) = prepare::files(&claim.sandbox, &request.sandbox, &inner.config).await {
            inner.sandboxes.release(claim.sandbox);
            return Err(error);
        }
        if let Err(error) = admit(self, &request, &claim.sandbox).await {
            inner.sandboxes.release(claim.sandbox);
            return Err(error);
        }
        let view = self.new_view(&request, &plan);
        let session = self.open_session(request, hash, plan, claim.sandbox, view);
        let prepared = session.prepare_kernel(claim.warm).await;
        let kept = match prepared {
            Ok(()) => inner.store.save_session(row(&session, &session.view)).await,
            Err(error) => {
                session.end(SessionEnd::Lost).await;
                return Err(error);
            }
        };
        if let Err(error) = kept {
            session.end(SessionEnd::Lost).await;
            return Err(error.into());
        }
        Ok(session.view.clone())
    }

    pub async fn session(&self, id: &SessionId) -> Result<SessionView, JobError> {
        let row = self.inner.store.session(id.clone()).await?;
        Ok(row.ok_or(JobError::NotFound("session"))?.view)
    }

    pub async fn sessions(&self) -> Result<SessionList, JobError> {
        let open = self.inner.sessions.open().values().map(|s| s.view.clone()).collect();
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
        let idle = request.idle_seconds.unwrap_or(config.session_idle.as_secs());
        let created_at = OffsetDateTime::now_utc();
        SessionView {
            version: Version,
            task_id: request.task_id.clone(),
            session_id: request.session_id.clone(),
            state: SessionState::Active,
            ended: None,
            created_at,
            expires_at: created_at + Duration::from_secs(lifetime),
            idle_seconds: idle,
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
        let kernels = Kernels::new(Arc::clone(&sandbox), env, plan.limits.output_bytes);
        let session = Arc::new(LiveSession {
            kernels,
            request,
            request_hash,
            plan,
            sandbox,
            view,
            activity: Mutex::new(Activity { commands: 0, last: Instant::now() }),
            changed: watch::Sender::new(None),
            closed: watch::Sender::new(false),
        });
        let id = session.view.session_id.clone();
        self.inner.sessions.open().insert(id, Arc::clone(&session));
        self.inner.metrics.sessions.inc();
        self.inner.tasks.spawn(keep(self.clone(), Arc::clone(&session)));
        session
    }
}

/// Watches over one session until it ends, and ends it.
async fn keep(node: Node, session: Arc<LiveSession>) {
    let left = session.view.expires_at - OffsetDateTime::now_utc();
    let expires = Instant::now() + left.max(time::Duration::ZERO).unsigned_abs();
    let mut changed = session.changed.subscribe();
    let end = loop {
        if let Some(end) = *changed.borrow_and_update() {
            break Some(end);
        }
        let idle_at = session.idle_at();
        tokio::select! {
            () = node.inner.leaving.cancelled() => break None,
            () = tokio::time::sleep_until(expires) => session.ask_to_end(SessionEnd::Lifetime),
            () = tokio::time::sleep_until(idle_at.unwrap_or(expires)), if idle_at.is_some() => {
                // A command may have begun or ended in between.
                if session.idle_at().is_some_and(|at| at <= Instant::now()) {
                    session.ask_to_end(SessionEnd::Idle);
                }
            }
            _ = changed.changed() => {}
        }
    };
    node.inner.sessions.open().remove(&session.view.session_id);
    node.inner.metrics.sessions.dec();
    match end {
        None => session.sandbox.leave().await,
        Some(end) => {
            let view = SessionView {
                state: SessionState::Ended,
                ended: Some(end),
                ..session.view.clone()
            };
            if let Err(error) = node.inner.store.save_session(row(&session, &view)).await {
                tracing::error!(session_id = %view.session_id, error = %chain(&error), "not kept");
            }
            tracing::info!(session_id = %view.session_id, ?end, "session ended");
            node.inner.sandboxes.release(Arc::clone(&session.sandbox));
        }
    }
    session.closed.send_replace(true);
}

async fn admit(node: &Node, request: &SessionRequest, sandbox: &Sandbox) -> Result<(), JobError> {
    let SessionRequest { task_id, session_id, sandbox: spec, .. } = request;
    let owner = (task_id.as_str(), session_id.as_str());
    door::admit(node, sandbox.id(), owner, spec).await
}

/// A session of an earlier life: adopted, or told to be lost.
pub(crate) async fn take_up(node: &Node, row: SessionRow) -> Result<(), JobError> {
    let owner = Owned::Session(row.view.task_id.clone(), row.session_id.clone());
    let sandbox = match &row.sandbox {
        Some(id) => node.inner.sandboxes.adopt(id, owner).await.ok(),
        None => None,
    };
    let plan = admission::plan(node, &row.request.sandbox).await;
    match (sandbox, plan) {
        (Some(sandbox), Ok(plan)) => {
            admit(node, &row.request, &sandbox).await?;
            node.inner.metrics.adopted.inc();
            let interrupted = sandbox.adopted_execs();
            let session = node.open_session(row.request, row.request_hash, plan, sandbox, row.view);
            for kernel in session.sandbox.adopted_kernels() {
                session.kernels.there_is(&kernel, Vec::new());
            }
            for (status, command) in interrupted {
                match session.kernels.take_up(&status) {
                    Some(cell) => {
                        let session = Arc::clone(&session);
                        let leaving = node.inner.leaving.clone();
                        let running = !status.exited;
                        node.inner.tasks.spawn(async move {
                            let _busy = busy::Busy::begin(&session);
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
        (sandbox, _) => {
            if let Some(sandbox) = sandbox {
                node.inner.sandboxes.release(sandbox);
            }
            let (state, ended) = (SessionState::Ended, Some(SessionEnd::Lost));
            let view = SessionView { state, ended, ..row.view };
            node.inner.store.save_session(SessionRow { view, sandbox: None, ..row }).await?;
            Ok(())
        }
    }
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
async fn absent(node: &Node, id: &SessionId) -> JobError {
    match node.inner.store.session(id.clone()).await {
        Ok(Some(_)) => JobError::Gone,
        Ok(None) => JobError::NotFound("session"),
        Err(error) => error.into(),
    }
}
