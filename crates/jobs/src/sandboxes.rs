//! Where sandboxes come from and where they go: made for an owner, removed off everybody's path.

use crate::chain;
use contracts::{JobId, SandboxId, SessionId, TaskId, sandbox::label};
use executor::{Engine, EngineError, Labels, Sandbox, Shape};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::task::TaskTracker;

/// Tries to remove a sandbox before it is left to the sweep.
const REMOVAL_PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// Whose a sandbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    Job(TaskId, JobId),
    Session(TaskId, SessionId),
    /// It is on its way out.
    Nobody,
}

impl Owned {
    /// What callers find on the container.
    fn labels(&self) -> Labels {
        let ids = match self {
            Self::Job(task, job) => {
                vec![(label::TASK_ID, task.as_str()), (label::JOB_ID, job.as_str())]
            }
            Self::Session(task, session) => {
                vec![(label::TASK_ID, task.as_str()), (label::SESSION_ID, session.as_str())]
            }
            Self::Nobody => Vec::new(),
        };
        ids.into_iter().map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }
}

pub(crate) struct Claim {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) warm: bool,
    pub(crate) took: Duration,
}

pub(crate) struct Sandboxes {
    engine: Arc<dyn Engine>,
    tasks: TaskTracker,
    /// Registered before they are made, so that no sweep takes one for an orphan.
    owned: Arc<Mutex<HashMap<SandboxId, Owned>>>,
}

impl Sandboxes {
    pub(crate) fn new(engine: Arc<dyn Engine>, tasks: TaskTracker) -> Self {
        Self { engine, tasks, owned: Arc::default() }
    }

    fn owned(&self) -> MutexGuard<'_, HashMap<SandboxId, Owned>> {
        lock(&self.owned)
    }

    pub(crate) fn owner(&self, id: &SandboxId) -> Option<Owned> {
        self.owned().get(id).cloned()
    }

    /// A sandbox of this shape, for this owner alone.
    pub(crate) async fn get(&self, shape: &Shape, owner: Owned) -> Result<Claim, EngineError> {
        let began = Instant::now();
        let id = draw_id()?;
        let labels = owner.labels();
        self.owned().insert(id.clone(), owner);
        match self.engine.create(id.clone(), shape, &labels).await {
            Ok(sandbox) => {
                let took = began.elapsed();
                Ok(Claim { sandbox: Arc::new(sandbox), warm: false, took })
            }
            Err(error) => {
                self.owned().remove(&id);
                Err(error)
            }
        }
    }

    /// One that an earlier life of the node made for this owner.
    pub(crate) async fn adopt(
        &self,
        id: &SandboxId,
        owner: Owned,
    ) -> Result<Arc<Sandbox>, EngineError> {
        self.owned().insert(id.clone(), owner);
        let adopted = self.engine.adopt(id).await;
        if adopted.is_err() {
            self.owned().remove(id);
        }
        adopted.map(Arc::new)
    }

    /// Ends a sandbox and removes what belongs to it, in a task of its own.
    pub(crate) fn release(&self, sandbox: Arc<Sandbox>) {
        let (engine, owned) = (Arc::clone(&self.engine), Arc::clone(&self.owned));
        let id = sandbox.id().clone();
        lock(&owned).insert(id.clone(), Owned::Nobody);
        self.tasks.spawn(async move {
            let mut removed = sandbox.close().await;
            for pause in REMOVAL_PAUSES {
                let Err(error) = &removed else { break };
                tracing::warn!(sandbox = %id, error = %chain(error), "a sandbox resists removal");
                tokio::time::sleep(pause).await;
                removed = engine.remove(&id).await;
            }
            if let Err(error) = removed {
                tracing::error!(sandbox = %id, error = %chain(&error), "left to the sweep");
            }
            lock(&owned).remove(&id);
        });
    }
}

fn lock(owned: &Mutex<HashMap<SandboxId, Owned>>) -> MutexGuard<'_, HashMap<SandboxId, Owned>> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}

fn draw_id() -> Result<SandboxId, EngineError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| EngineError::step("id", std::io::Error::from(e)))?;
    Ok(SandboxId::from_random(bytes))
}
