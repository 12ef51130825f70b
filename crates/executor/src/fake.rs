//! A scripted engine for tests of what lies above: no process, no container, no disk.
//!
//! It speaks the real link over a pipe in memory. It is shallower than the real engines in this: a
//! program is a closure that decides everything at its start, files are kept in memory, counters
//! are whatever the script says, and limits are not enforced.

mod agent;

use crate::{
    Counters, Enclosure, Engine, EngineError, EngineKind, Found, Labels, PinnedImage, Sandbox,
    Shape,
};
pub use agent::{Program, Spoiled};
use async_trait::async_trait;
use contracts::{Faults, ImageRef, SandboxId, limits::Limits, link::Command};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// What a command does, decided when it starts.
pub type Script = Arc<dyn Fn(&Command) -> Program + Send + Sync>;

/// Faults to inject, each used up as it strikes.
#[derive(Debug, Clone, Default)]
pub struct FakeFaults {
    pub failing_creations: usize,
    /// What the next creation takes.
    pub slow_creation: Duration,
    /// What the next look for an image takes.
    pub slow_pin: Duration,
    pub failing_pins: usize,
    pub failing_adoptions: usize,
    pub unreachable: bool,
    pub missing_images: Vec<String>,
    /// Counts up with each new build of the images: their ids change with it.
    pub image_build: usize,
    /// Refused limits, as `Engine::unenforceable` gives them: field and reason.
    pub unenforceable: Vec<(String, String)>,
}

pub struct FakeEngine {
    script: Script,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    faults: FakeFaults,
    sandboxes: BTreeMap<SandboxId, Inside>,
    counters: Counters,
    created: usize,
    removed: usize,
    /// The agents' ends of all links; they stop with the engine.
    agents: JoinSet<()>,
}

/// A living sandbox: its labels, its agent's memory, and the switch that kills it.
#[derive(Clone)]
struct Inside {
    labels: Labels,
    image: String,
    agent: Arc<agent::Agent>,
    alive: watch::Sender<bool>,
}

impl FakeEngine {
    pub fn new(script: impl Fn(&Command) -> Program + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), state: Arc::default() }
    }

    /// Each program writes its arguments, joined by spaces, and exits with 0.
    pub fn echoing() -> Self {
        Self::new(|command| Program::prints(&command.argv.join(" ")))
    }

    pub fn inject(&self, change: impl FnOnce(&mut FakeFaults)) {
        change(&mut self.state().faults);
    }

    pub fn count(&self, counters: Counters) {
        self.state().counters = counters;
    }

    pub fn created(&self) -> usize {
        self.state().created
    }

    pub fn removed(&self) -> usize {
        self.state().removed
    }

    /// The sandboxes that exist now.
    pub fn living(&self) -> Vec<SandboxId> {
        self.state().sandboxes.keys().cloned().collect()
    }

    /// Ends a sandbox behind the node's back, as a crash of its host would.
    pub fn vanish(&self, id: &SandboxId) {
        if let Some(inside) = self.state().sandboxes.remove(id) {
            inside.alive.send_replace(false);
        }
    }

    /// Whether a fault that is counted strikes, which uses it up.
    fn strikes(&self, which: impl Fn(&mut FakeFaults) -> &mut usize) -> bool {
        let mut state = self.state();
        let left = which(&mut state.faults);
        let strikes = *left > 0;
        *left = left.saturating_sub(1);
        strikes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, id: &SandboxId, inside: &Inside) -> Result<Sandbox, EngineError> {
        let (host, agent) = tokio::io::duplex(1 << 20);
        let enclosure = Arc::new(FakeEnclosure {
            id: id.clone(),
            alive: inside.alive.clone(),
            state: Arc::clone(&self.state),
        });
        let served = agent::serve(Arc::clone(&inside.agent), agent, inside.alive.subscribe());
        self.state().agents.spawn(served);
        Ok(Sandbox::over(id.clone(), host, enclosure).await?)
    }
}

#[async_trait]
impl Engine for FakeEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Fake
    }

    fn version(&self) -> String {
        "scripted".to_owned()
    }

    async fn ready(&self) -> Result<(), EngineError> {
        if self.state().faults.unreachable {
            return Err(EngineError::Unreachable("scripted".into()));
        }
        Ok(())
    }

    fn unenforceable(&self, _limits: &Limits) -> Faults {
        let mut faults = Faults::default();
        for (field, reason) in &self.state().faults.unenforceable {
            faults.add(field, reason);
        }
        faults
    }

    async fn pin(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        let takes = std::mem::take(&mut self.state().faults.slow_pin);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        if self.strikes(|faults| &mut faults.failing_pins) {
            return Err(EngineError::Unreachable("scripted".into()));
        }
        let build = self.state().faults.image_build;
        if self.state().faults.missing_images.iter().any(|missing| missing == image.as_str()) {
            let reason = "scripted".to_owned();
            return Err(EngineError::ImageMissing { image: image.clone(), reason });
        }
        Ok(Arc::new(PinnedImage {
            reference: image.clone(),
            id: format!("fake-{image}-{build}"),
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            command: vec!["image-command".to_owned()],
        }))
    }

    async fn create(
        &self,
        id: SandboxId,
        shape: &Shape,
        labels: &Labels,
    ) -> Result<Sandbox, EngineError> {
        self.ready().await?;
        let (inside, takes) = {
            let mut state = self.state();
            if state.faults.failing_creations > 0 {
                state.faults.failing_creations -= 1;
                return Err(EngineError::step("create", "scripted"));
            }
            state.created += 1;
            let takes = std::mem::take(&mut state.faults.slow_creation);
            let inside = Inside {
                labels: labels.clone(),
                image: shape.image.reference.to_string(),
                agent: Arc::new(agent::Agent::new(Arc::clone(&self.script))),
                alive: watch::Sender::new(true),
            };
            state.sandboxes.insert(id.clone(), inside.clone());
            (inside, takes)
        };
        tokio::time::sleep(takes).await;
        self.connect(&id, &inside).await
    }

    async fn adopt(&self, id: &SandboxId) -> Result<Sandbox, EngineError> {
        if self.strikes(|faults| &mut faults.failing_adoptions) {
            return Err(EngineError::Unreachable("scripted".into()));
        }
        let inside = self.state().sandboxes.get(id).cloned();
        let inside = inside.ok_or_else(|| EngineError::Gone(id.clone()))?;
        self.connect(id, &inside).await
    }

    async fn list(&self) -> Result<Vec<Found>, EngineError> {
        self.ready().await?;
        let found = |(id, inside): (&SandboxId, &Inside)| Found {
            sandbox: id.clone(),
            engine_id: id.to_string(),
            running: *inside.alive.borrow(),
            image: inside.image.clone(),
            created_at: 0,
            labels: inside.labels.clone(),
        };
        Ok(self.state().sandboxes.iter().map(found).collect())
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), EngineError> {
        remove(&self.state, id);
        Ok(())
    }
}

fn remove(state: &Mutex<State>, id: &SandboxId) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(inside) = state.sandboxes.remove(id) {
        inside.alive.send_replace(false);
        state.removed += 1;
    }
}

struct FakeEnclosure {
    id: SandboxId,
    alive: watch::Sender<bool>,
    state: Arc<Mutex<State>>,
}

#[async_trait]
impl Enclosure for FakeEnclosure {
    async fn kill(&self) -> Result<(), EngineError> {
        self.alive.send_replace(false);
        Ok(())
    }

    async fn counters(&self) -> Counters {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counters
    }

    async fn freeze(&self, _frozen: bool) -> Result<(), EngineError> {
        Ok(())
    }

    async fn remove(&self) -> Result<(), EngineError> {
        remove(&self.state, &self.id);
        Ok(())
    }
}
