//! Where sandboxes come from and where they go: out of the pool or made for an owner, and removed
//! off everybody's path.

use crate::{chain, metrics::Metrics, pool::Pool};
use contracts::{JobId, SandboxId, SessionId, TaskId, sandbox::label};
use executor::{Engine, EngineError, Labels, Sandbox, Shape};
use gate::{Door, Gate, Identity};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Tries to remove a sandbox before it is left to the sweep.
const REMOVAL_PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// Removals at a time. They are never urgent, and more of them only slow each other and the jobs.
const MOST_REMOVALS: usize = 4;

/// Sandboxes that are made at a time for those who wait for them. A host that makes more of them at
/// once makes none in time.
const MOST_MAKING: usize = 16;

/// Whose a sandbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    Job(TaskId, JobId),
    Session(TaskId, SessionId),
    /// It waits for whoever claims it.
    Pool,
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
            Self::Pool | Self::Nobody => Vec::new(),
        };
        ids.into_iter().map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }
}

pub(crate) struct Claim {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) warm: bool,
    pub(crate) took: Duration,
}

/// What the pool had: at most one sandbox, and those that it found dead on the way.
#[derive(Default)]
pub(crate) struct Claimed {
    pub(crate) sandbox: Option<Arc<Sandbox>>,
    pub(crate) dead: Vec<Arc<Sandbox>>,
}

pub(crate) struct Sandboxes {
    pub(crate) pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    removals: Arc<Semaphore>,
    making: Semaphore,
    engine: Arc<dyn Engine>,
    tasks: TaskTracker,
    gate: Option<Gate>,
    /// Of the sandboxes with inference, from their making to their end.
    doors: Mutex<HashMap<SandboxId, Arc<Door>>>,
    /// Registered before they are made, so that no sweep takes one for an orphan.
    owned: Arc<Mutex<HashMap<SandboxId, Owned>>>,
}

impl Sandboxes {
    pub(crate) fn new(
        engine: Arc<dyn Engine>,
        pool: Arc<Pool>,
        gate: Option<Gate>,
        metrics: Arc<Metrics>,
        tasks: TaskTracker,
    ) -> Self {
        let removals = Arc::new(Semaphore::new(MOST_REMOVALS));
        let (owned, doors) = (Arc::default(), Mutex::default());
        let making = Semaphore::new(MOST_MAKING);
        Self { pool, metrics, removals, making, engine, tasks, gate, doors, owned }
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<SandboxId, Arc<Door>>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way out of a sandbox with inference.
    pub(crate) fn door(&self, id: &SandboxId) -> Option<Arc<Door>> {
        self.doors().get(id).cloned()
    }

    /// From now on the gate hears what this sandbox says.
    fn open_door(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        let (Some(gate), Some(listener)) = (&self.gate, sandbox.take_gate()) else { return Ok(()) };
        let door = gate.open(listener);
        if let Some(tls_gate) = sandbox.take_tls_gate() {
            // One that was adopted gets a new identity, too: the key of the former is nowhere.
            let identity = Identity::new(OffsetDateTime::now_utc());
            let identity = identity.map_err(|e| EngineError::step("identity", e))?;
            let listener = tls_gate.publish(identity.authority(), gate.roots().pem());
            let listener = listener.map_err(|e| EngineError::step("identity", e))?;
            door.open_tls(listener, &identity);
        }
        self.doors().insert(sandbox.id().clone(), Arc::new(door));
        Ok(())
    }

    /// A sandbox that the engine has made or found, with its door open, or none.
    fn opened(
        &self,
        id: &SandboxId,
        sandbox: Result<Sandbox, EngineError>,
    ) -> Result<Arc<Sandbox>, EngineError> {
        let sandbox = match sandbox {
            Ok(sandbox) => Arc::new(sandbox),
            Err(error) => {
                self.owned().remove(id);
                return Err(error);
            }
        };
        self.metrics.sandbox_made(sandbox.landlock());
        match self.open_door(&sandbox) {
            Ok(()) => Ok(sandbox),
            Err(error) => {
                self.release(sandbox);
                Err(error)
            }
        }
    }

    fn owned(&self) -> MutexGuard<'_, HashMap<SandboxId, Owned>> {
        lock(&self.owned)
    }

    pub(crate) fn owner(&self, id: &SandboxId) -> Option<Owned> {
        self.owned().get(id).cloned()
    }

    /// The sandbox with such an owner.
    pub(crate) fn of(&self, is_owner: impl Fn(&Owned) -> bool) -> Option<SandboxId> {
        let owned = self.owned();
        owned.iter().find(|(_, owner)| is_owner(owner)).map(|(id, _)| id.clone())
    }

    /// A sandbox of this shape, for this owner alone.
    pub(crate) async fn get(&self, shape: &Shape, owner: Owned) -> Result<Claim, EngineError> {
        let began = Instant::now();
        let Claimed { sandbox, dead } = self.pool.claim(shape);
        dead.into_iter().for_each(|sandbox| self.release(sandbox));
        if let Some(sandbox) = sandbox {
            self.owned().insert(sandbox.id().clone(), owner);
            return Ok(Claim { sandbox, warm: true, took: began.elapsed() });
        }
        let _urgent = self.pool.urgent();
        let _turn = self.making.acquire().await;
        let sandbox = self.make(shape, owner).await?;
        Ok(Claim { sandbox, warm: false, took: began.elapsed() })
    }

    pub(crate) async fn make(
        &self,
        shape: &Shape,
        owner: Owned,
    ) -> Result<Arc<Sandbox>, EngineError> {
        let id = draw_id()?;
        let labels = owner.labels();
        self.owned().insert(id.clone(), owner);
        let made = self.engine.create(id.clone(), shape, &labels).await;
        self.opened(&id, made)
    }

    /// One that an earlier life of the node made for this owner.
    pub(crate) async fn adopt(
        &self,
        id: &SandboxId,
        owner: Owned,
    ) -> Result<Arc<Sandbox>, EngineError> {
        self.owned().insert(id.clone(), owner);
        let adopted = self.engine.adopt(id).await;
        self.opened(id, adopted)
    }

    /// Removes one that nobody holds, when it is its turn.
    pub(crate) async fn remove(&self, id: &SandboxId) -> Result<(), EngineError> {
        let _turn = self.removals.acquire().await;
        self.engine.remove(id).await
    }

    /// Ends a sandbox and removes what belongs to it, in a task of its own.
    pub(crate) fn release(&self, sandbox: Arc<Sandbox>) {
        let (engine, owned) = (Arc::clone(&self.engine), Arc::clone(&self.owned));
        let (removals, metrics) = (Arc::clone(&self.removals), Arc::clone(&self.metrics));
        let pool = Arc::clone(&self.pool);
        let id = sandbox.id().clone();
        let door = self.doors().remove(&id);
        lock(&owned).insert(id.clone(), Owned::Nobody);
        self.tasks.spawn(async move {
            if let Some(door) = door {
                door.close().await;
            }
            pool.rush.over().await;
            // Before its turn, so that nothing of it runs on until then.
            let _reported_by_the_removal = sandbox.kill().await;
            let _turn = removals.acquire_owned().await;
            let mut removed = sandbox.close().await;
            for pause in REMOVAL_PAUSES {
                let Err(error) = &removed else { break };
                tracing::warn!(sandbox = %id, error = %chain(error), "a sandbox resists removal");
                tokio::time::sleep(pause).await;
                removed = engine.remove(&id).await;
            }
            if let Err(error) = removed {
                metrics.removal_failures.inc();
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
    draw_bytes().map(SandboxId::from_random)
}

pub(crate) fn draw_bytes() -> Result<[u8; 16], EngineError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| EngineError::step("id", std::io::Error::from(e)))?;
    Ok(bytes)
}
