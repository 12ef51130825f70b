//! Code in sessions: opening one for a language, and running what its callers send.

use super::{LiveSession, absent, busy::Busy, furnished, not_stopped};
use crate::{
    JobError, Node, admission, door, help,
    kernels::{CellEnd, CellNews, Kernels, LiveCell, Order, context_name},
    libraries::{Libraries, Place},
    live::Plan,
    prepare,
    sandboxes::{Owned, draw_bytes},
    templates::{self, Template},
};
use contracts::{
    CellId, Faults, SessionId, TaskId, TemplateName, Version,
    code::{
        CellInput, ExecuteRequest, ExecuteResponse, KernelRequest, Language, OpenRequest,
        OpenResponse, OpenSession, OpenSessions,
    },
    packages::Registries,
    problem::Problem,
    sandbox::SandboxSpec,
    session::{SessionEnd, SessionRequest},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// The task of sessions that nobody named one for.
const TASK: &str = "sessions";

/// What is to be around code before it runs.
struct Wanted {
    lang: Language,
    template: Option<Arc<Template>>,
    libraries: Option<Libraries>,
    /// Of both.
    installs: Registries,
    spec: SandboxSpec,
}

/// Code that was taken in, and whoever wants to know of it.
pub struct Running(Arc<LiveCell>);

/// How code ended, or why that can't be told.
pub enum CodeEnd {
    Answer(Arc<ExecuteResponse>),
    Problem(Problem),
}

impl Running {
    pub fn id(&self) -> &CellId {
        &self.0.id
    }

    pub async fn ended(&self) -> Result<CodeEnd, JobError> {
        match self.0.ended().await {
            CellEnd::Answer(answer) => Ok(CodeEnd::Answer(answer)),
            CellEnd::Problem(problem) => Ok(CodeEnd::Problem(problem)),
            CellEnd::Left => Err(JobError::Draining),
        }
    }

    /// What came after the events that were seen; waits while there is nothing new.
    pub async fn news(&self, seen: usize) -> CellNews {
        let mut changed = self.0.watch();
        loop {
            let news = self.0.news(seen);
            if news.over || !news.events.is_empty() || changed.changed().await.is_err() {
                return news;
            }
        }
    }
}

impl Node {
    /// A session for code in one language, under a name that we draw.
    pub async fn open_code(&self, request: OpenRequest) -> Result<OpenResponse, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        // What a caller sets can make an interpreter run something, and so can a template.
        let is_new = request.env.is_empty() && request.template.is_none();
        let wanted =
            self.wanted(&request.template, request.lang, request.env, &request.libraries)?;
        let session_id = SessionId::from_random(draw_bytes()?);
        let asked = SessionRequest {
            version: Version,
            task_id: task()?,
            session_id,
            sandbox: wanted.spec,
            lifetime_seconds: request.lifetime_seconds,
            idle_seconds: request.idle_seconds,
            background: request.background,
            lang: Some(wanted.lang),
        };
        let view = self.create(asked, wanted.installs, wanted.template).await?;
        if let Some(libraries) = wanted.libraries {
            self.furnish(&view.session_id, libraries, is_new).await?;
        }
        Ok(OpenResponse { session_id: view.session_id, status: view.state })
    }

    /// What is to be around code in a language, or in a template's.
    fn wanted(
        &self,
        template: &Option<TemplateName>,
        lang: Option<Language>,
        env: BTreeMap<String, String>,
        libraries: &[String],
    ) -> Result<Wanted, JobError> {
        let template = self.template_asked(template.as_ref())?;
        let lang = match &template {
            Some(template) if lang.is_some_and(|lang| lang != template.lang()) => {
                let name = template.lang().name();
                return Err(templates::refused("lang", format!("is {name} in this template")));
            }
            Some(template) => template.lang(),
            None => lang.unwrap_or_default(),
        };
        let libraries = Libraries::of(lang, libraries)?;
        let mut installs = libraries.as_ref().map(Libraries::registries).unwrap_or_default();
        let mut spec = match &template {
            Some(template) => {
                installs = installs.and(template.installs());
                template.sandbox(self)
            }
            None => {
                let image = self.inner.config.session_images.get(&lang).cloned();
                SandboxSpec { image, ..SandboxSpec::default() }
            }
        };
        spec.env.extend(env);
        Ok(Wanted { lang, template, libraries, installs, spec })
    }

    pub fn code_sessions(&self) -> OpenSessions {
        let open = self.inner.sessions.open();
        let session = |session: &Arc<LiveSession>| {
            let view = session.view();
            OpenSession {
                session_id: view.session_id,
                status: view.state,
                lang: view.lang,
                created_at: view.created_at,
                expires_at: view.expires_at,
            }
        };
        let mut sessions: Vec<OpenSession> = open.values().map(session).collect();
        sessions.sort_by_key(|session| session.created_at);
        OpenSessions { sessions }
    }

    /// Takes code in. Who stops waiting for it does not stop it.
    pub async fn execute(
        &self,
        id: &SessionId,
        request: ExecuteRequest,
    ) -> Result<Running, JobError> {
        if request.template.is_some() {
            let message = "is chosen when a session is opened";
            return Err(templates::refused("template", message));
        }
        let session = self.code_session(id).await?;
        let order = self.order(request, session.view.lang)?;
        let drawn = CellId::from_random(draw_bytes()?);
        let busy = Busy::begin(&session).await?;
        let libraries = Libraries::of(order.lang, &order.request.libraries)?;
        if libraries.is_some() && !self.has_way(&session.sandbox) {
            return Err(crate::libraries::no_way());
        }
        let (cell, context) = session.kernels.admit(&order, drawn)?;
        let running = Running(Arc::clone(&cell));
        if let Some(context) = context {
            let node = self.clone();
            self.inner.tasks.spawn(async move {
                let _busy = busy;
                if let Some(libraries) = libraries {
                    let (sandbox, image) = (&session.sandbox, &session.plan.image);
                    let place =
                        Place { node: &node, sandbox, image, is_new: false, template: None };
                    if let Err(end) = place.furnish(&libraries, &session.kernels).await {
                        return session.kernels.turn_away(&cell, &context, end);
                    }
                }
                let ran = session.kernels.run(&cell, &context, order, |e| session.explain(e)).await;
                if let Err(JobError::Engine(executor::EngineError::Link(_))) = ran {
                    session.ask_to_end(SessionEnd::Lost);
                }
            });
        }
        Ok(running)
    }

    /// Code in a sandbox of its own, which goes when it is done.
    pub async fn execute_once(&self, request: ExecuteRequest) -> Result<Running, JobError> {
        if self.is_draining() {
            return Err(JobError::Draining);
        }
        let stop = self.inner.stops.watch();
        without_open_stdin(&request)?;
        let wanted =
            self.wanted(&request.template, request.lang, BTreeMap::new(), &request.libraries)?;
        let order = Order { stop, ..self.order(request, Some(wanted.lang))? };
        let plan = admission::plan_to_install(self, &wanted.spec, wanted.installs).await?;
        let place = self.place_for_code().await?;
        if self.inner.leaving.is_cancelled() {
            return Err(JobError::Draining);
        }
        // Who stops waiting from here on does not stop it: half-way its sandbox would be nobody's.
        not_stopped(&order.stop)?;
        let node = self.clone();
        let running = async move { node.run_once(order, wanted, plan, place).await };
        let running = self.inner.tasks.spawn(running).await;
        running.map_err(|e| JobError::fault("code", e))?
    }

    /// As many callers wait as jobs may.
    async fn place_for_code(&self) -> Result<OwnedSemaphorePermit, JobError> {
        if let Ok(place) = Arc::clone(&self.inner.places).try_acquire_owned() {
            return Ok(place);
        }
        let full = JobError::Full { retry_after_s: admission::RETRY_AFTER_S };
        let _waits = self.inner.code_queue.try_acquire().map_err(|_| full)?;
        let place = Arc::clone(&self.inner.places).acquire_owned().await;
        place.map_err(|e| JobError::fault("queue", e))
    }

    async fn run_once(
        &self,
        order: Order,
        wanted: Wanted,
        plan: Plan,
        place: OwnedSemaphorePermit,
    ) -> Result<Running, JobError> {
        let Wanted { template, libraries, mut spec, .. } = wanted;
        let shape = plan.shape(&spec, Some(order.lang), template.as_deref());
        let session_id = SessionId::from_random(draw_bytes()?);
        let owner = Owned::Session(task()?, session_id.clone());
        let claim = furnished(self, &shape, owner, template.as_deref()).await?;
        let ids = (TASK, session_id.as_str());
        if let Err(error) = door::admit(self, claim.sandbox.id(), ids, &spec, &plan).await {
            self.inner.sandboxes.release(claim.sandbox);
            return Err(error);
        }
        let owner = help::Owner::Code { timeout: order.timeout };
        help::explain(self, &claim.sandbox, &spec, &plan, owner).await;
        let ids = prepare::session_ids(&task()?, &session_id);
        let places = claim.sandbox.places();
        if let Some(template) = &template {
            spec.env.extend(template.libraries_env(&places));
        }
        let reserved = prepare::reserved(&places, ids.clone());
        let env = prepare::environment(
            &plan.image.env,
            prepare::Ways::of(&spec),
            &spec.env,
            &reserved,
            &places,
        );
        let sandbox = Arc::clone(&claim.sandbox);
        let kernels = Kernels::new(Arc::clone(&sandbox), env, &plan);
        if claim.warm {
            // It was started with what a template sets.
            kernels.there_is(&context_name(order.lang, None), owned(ids));
        }
        let admitted = CellId::try_from(session_id.to_string())
            .map_err(|e| JobError::fault("id", e))
            .and_then(|drawn| kernels.admit(&order, drawn));
        let (cell, context) = match admitted {
            Ok((cell, Some(context))) => (cell, context),
            refused => {
                self.inner.sandboxes.release(sandbox);
                // A sandbox of its own has no cell of that name before.
                return Err(refused.err().unwrap_or(JobError::Conflict));
            }
        };
        let running = Running(Arc::clone(&cell));
        let node = self.clone();
        let is_new = template.is_none();
        self.inner.tasks.spawn(async move {
            let _place = place;
            let furnished = match &libraries {
                Some(libraries) => {
                    let (sandbox, image) = (&sandbox, &plan.image);
                    let place = Place { node: &node, sandbox, image, is_new, template: None };
                    place.furnish(libraries, &kernels).await
                }
                None => Ok(()),
            };
            let stopped = not_stopped(&order.stop).map_err(|e| CellEnd::Problem(e.problem()));
            match furnished.and(stopped) {
                // The cell's end says what there is to say.
                Ok(()) => drop(kernels.run(&cell, &context, order, |e| e).await),
                Err(end) => kernels.turn_away(&cell, &context, end),
            }
            node.inner.sandboxes.release(sandbox);
        });
        Ok(running)
    }

    /// Code that was sent before, by its name.
    pub async fn cell(&self, id: &SessionId, cell: &CellId) -> Result<Running, JobError> {
        let session = self.code_session(id).await?;
        session.kernels.cell(cell).map(Running).ok_or(JobError::NotFound("cell"))
    }

    /// A line for code that reads, or will. It waits for the code as on a terminal.
    pub async fn cell_stdin(
        &self,
        id: &SessionId,
        cell: &CellId,
        input: CellInput,
    ) -> Result<(), JobError> {
        input.validate().map_err(JobError::Invalid)?;
        let session = self.code_session(id).await?;
        let _busy = Busy::begin(&session).await?;
        session.kernels.feed(cell, input).await
    }

    /// Interrupts what an interpreter runs, if it runs something.
    pub async fn interrupt(&self, id: &SessionId, which: KernelRequest) -> Result<bool, JobError> {
        let session = self.code_session(id).await?;
        let _busy = Busy::begin(&session).await?;
        session.kernels.interrupt(&which_context(&session, &which)).await
    }

    /// A new interpreter in place of one, whatever that is doing.
    pub async fn restart_kernel(
        &self,
        id: &SessionId,
        which: KernelRequest,
    ) -> Result<(), JobError> {
        let session = self.code_session(id).await?;
        let _busy = Busy::begin(&session).await?;
        session.kernels.restart(&which_context(&session, &which)).await
    }

    /// One that is open. Whoever sends something to its sandbox begins with [`Busy`].
    pub(super) async fn code_session(&self, id: &SessionId) -> Result<Arc<LiveSession>, JobError> {
        match self.inner.sessions.get(id) {
            Some(session) => match session.ended() {
                None => Ok(session),
                Some(ended) => Err(JobError::Gone(ended)),
            },
            None => Err(absent(self, id).await),
        }
    }

    fn order(&self, request: ExecuteRequest, lang: Option<Language>) -> Result<Order, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let config = &self.inner.config;
        let asked = request.timeout_seconds.map(Duration::from_secs);
        Ok(Order {
            lang: request.lang.or(lang).unwrap_or_default(),
            timeout: asked.unwrap_or(config.cell_timeout).min(config.max_timeout),
            flood_bytes: config.flood_bytes,
            leaving: self.inner.leaving.clone(),
            stop: CancellationToken::new(),
            request,
        })
    }
}

/// What a kernel that was started before it had an owner is told of it.
pub(super) fn owned(ids: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    ids.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn which_context(session: &LiveSession, which: &KernelRequest) -> String {
    let lang = which.lang.or(session.view.lang).unwrap_or_default();
    context_name(lang, which.context.as_deref())
}

fn task() -> Result<TaskId, JobError> {
    TaskId::new(TASK).map_err(|e| JobError::fault("id", e))
}

fn without_open_stdin(request: &ExecuteRequest) -> Result<(), JobError> {
    let mut faults = Faults::default();
    faults.require(!request.stdin_open, "stdin_open", "needs a session to be answered in");
    faults.into_result().map_err(JobError::Invalid)
}
