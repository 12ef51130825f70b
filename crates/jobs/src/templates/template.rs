//! One template: what a name means now, and what became of it.

use crate::{
    JobError, Node, PoolConfig, admission,
    libraries::{Libraries, Place},
    live::Plan,
    prepare,
};
use contracts::{
    TemplateName,
    code::Language,
    packages::Registries,
    sandbox::SandboxSpec,
    template::{TemplateLine, TemplateSpec, TemplateState, TemplateStatus, TemplateView},
};
use executor::{PinnedImage, Places, Sandbox, Shape};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use store::TemplateRow;
use tokio_util::sync::CancellationToken;

/// Who asks for a template that could not be made is told so, and does not try it, for so long;
/// doubled by each failure that follows.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// What a person reads of a failure: its end says most.
const MAX_WHY_CHARS: usize = 2000;

pub(crate) struct Template {
    row: TemplateRow,
    /// What shapes are told apart by.
    mark: Arc<str>,
    libraries: Option<Libraries>,
    built: Mutex<Built>,
    /// The name means something else, or nothing.
    retired: CancellationToken,
}

struct Built {
    status: TemplateStatus,
    why: Option<String>,
    back_off: Duration,
    not_before: Option<Instant>,
}

impl Default for Built {
    fn default() -> Self {
        let status = TemplateStatus::Building;
        Self { status, why: None, back_off: FIRST_BACK_OFF, not_before: None }
    }
}

impl Template {
    pub(super) fn new(row: TemplateRow) -> Result<Self, JobError> {
        row.spec.validate().map_err(JobError::Invalid)?;
        let libraries = Libraries::of(row.spec.lang, &row.spec.libraries)?;
        // Names have no `@`.
        let mark = format!("{}@{}", row.name, row.id).into();
        let (built, retired) = (Mutex::default(), CancellationToken::new());
        Ok(Self { row, mark, libraries, built, retired })
    }

    fn built(&self) -> MutexGuard<'_, Built> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &TemplateName {
        &self.row.name
    }

    pub(crate) fn mark(&self) -> &Arc<str> {
        &self.mark
    }

    pub(super) fn spec(&self) -> &TemplateSpec {
        &self.row.spec
    }

    pub(crate) fn lang(&self) -> Language {
        self.row.spec.lang
    }

    /// How many wait always, and how many when they are asked for.
    pub(crate) fn levels(&self, config: &PoolConfig) -> (usize, usize) {
        match self.row.spec.pool {
            Some(pool) => (pool.min as usize, pool.max.unwrap_or(pool.min) as usize),
            None if config.max == 0 => (0, 0),
            None => (1, config.learned_max.max(1)),
        }
    }

    pub(crate) fn installs(&self) -> Registries {
        self.libraries.as_ref().map(Libraries::registries).unwrap_or_default()
    }

    /// The sandbox that a session from it asks for. Its files are put there once, and not with each
    /// record of a session.
    pub(crate) fn sandbox(&self, node: &Node) -> SandboxSpec {
        let TemplateSpec { lang, image, env, limits, .. } = self.spec().clone();
        let default = node.inner.config.session_images.get(&lang).cloned();
        SandboxSpec { image: image.or(default), env, limits, ..SandboxSpec::default() }
    }

    /// What interpreters in it are told beyond what any is.
    pub(crate) fn env(&self, places: &Places) -> BTreeMap<String, String> {
        let mut env = self.row.spec.env.clone();
        env.extend(self.libraries_env(places));
        env
    }

    pub(crate) fn libraries_env(&self, places: &Places) -> Vec<(String, String)> {
        self.libraries.as_ref().map(|libraries| libraries.env(places)).unwrap_or_default()
    }

    pub(crate) async fn plan(&self, node: &Node) -> Result<Plan, JobError> {
        admission::plan_to_install(node, &self.sandbox(node), self.installs()).await
    }

    pub(crate) fn shape(&self, plan: &Plan) -> Shape {
        plan.shape(&SandboxSpec::default(), Some(self.lang()), Some(self))
    }

    /// Puts into a new sandbox, which is nobody's yet, all that this template has.
    pub(crate) async fn furnish(
        &self,
        node: &Node,
        sandbox: &Arc<Sandbox>,
        image: &PinnedImage,
    ) -> Result<(), JobError> {
        // Before the files: what is in them could be taken for a part of the client.
        if let Some(libraries) = &self.libraries {
            let until = Some((&self.row.name, &self.retired));
            let place = Place { node, sandbox, image, is_new: true, template: until };
            place.install(libraries).await?.map_err(JobError::Libraries)?;
        }
        let files = SandboxSpec { files: self.row.spec.files.clone(), ..SandboxSpec::default() };
        prepare::files(sandbox, &files, &node.inner.config).await
    }

    /// The same for somebody who waits for it.
    pub(crate) async fn furnish_now(
        &self,
        node: &Node,
        sandbox: &Arc<Sandbox>,
        image: &PinnedImage,
    ) -> Result<(), JobError> {
        let done = self.furnish(node, sandbox, image).await;
        self.tell(done.as_ref().map(drop).map_err(why));
        done
    }

    /// Whether it makes sense to try, unless one waits: who asks again and again shall not cost a build
    /// each time.
    pub(crate) fn may_try(&self) -> Result<(), JobError> {
        let built = self.built();
        let waits = built.not_before.is_some_and(|at| at > Instant::now());
        if !waits {
            return Ok(());
        }
        let why = built.why.as_deref().unwrap_or_default();
        Err(super::refused(
            "template",
            format!("could not be built, and is tried again soon: {why}"),
        ))
    }

    /// Remembers how a build ended. An error without words is the node's own end.
    pub(crate) fn tell(&self, done: Result<(), Option<String>>) {
        match done {
            Ok(()) => *self.built() = Built { status: TemplateStatus::Ready, ..Built::default() },
            // It was called off.
            Err(_) if self.retired.is_cancelled() => {}
            Err(None) => {}
            Err(Some(why)) => {
                tracing::warn!(template = %self.mark, why, "a template can't be built");
                self.fail(&why);
            }
        }
    }

    fn fail(&self, why: &str) {
        let beyond = why.chars().count().saturating_sub(MAX_WHY_CHARS);
        let mut built = self.built();
        built.status = TemplateStatus::Failed;
        built.why = Some(why.chars().skip(beyond).collect());
        built.not_before = Some(Instant::now() + built.back_off);
        built.back_off = (built.back_off * 2).min(LONGEST_BACK_OFF);
    }

    pub(super) fn is_unbuilt(&self) -> bool {
        self.built().status == TemplateStatus::Building
    }

    /// Whether it had failed; it has not any more.
    pub(super) fn try_again(&self) -> bool {
        let mut built = self.built();
        let failed = built.status == TemplateStatus::Failed;
        if failed {
            *built = Built::default();
        }
        failed
    }

    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    fn state(&self, waiting: u64) -> TemplateState {
        let built = self.built();
        let (status, why) = (built.status, built.why.clone());
        TemplateState { status, why, waiting, updated_at: self.row.updated_at }
    }

    pub(super) fn view(&self, waiting: u64) -> TemplateView {
        let (name, spec) = (self.row.name.clone(), self.row.spec.clone());
        TemplateView { name, state: self.state(waiting), spec }
    }

    pub(super) fn line(&self, waiting: u64) -> TemplateLine {
        let TemplateRow { name, spec, .. } = &self.row;
        TemplateLine {
            name: name.clone(),
            state: self.state(waiting),
            lang: spec.lang,
            image: spec.image.clone(),
            libraries: spec.libraries.clone(),
            files: spec.files.iter().map(|file| file.path.clone()).collect(),
        }
    }
}

/// What an operator reads of a failure; nothing where the node itself ends.
pub(crate) fn why(error: &JobError) -> Option<String> {
    let problem = error.problem();
    let said = || problem.detail.unwrap_or(problem.title);
    (!matches!(error, JobError::Draining)).then(said)
}
