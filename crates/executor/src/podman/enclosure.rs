//! The wall around one sandbox, from outside: its container, its first process, its cgroup.

use super::{api::Api, folder::Folder, peer::Init};
use crate::{Counters, Enclosure, EngineError};
use async_trait::async_trait;
use rustix::{
    io::Errno,
    process::{Signal, pidfd_send_signal},
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::oneshot, task::JoinSet};

/// A container and the folder that belongs to it.
pub(super) struct Container {
    api: Arc<Api>,
    id: String,
    folder: Folder,
    /// The call that starts the container. It outlives its caller: hanging up on Podman in the
    /// middle of a start could leave a half-started container.
    starting: Mutex<JoinSet<()>>,
}

impl Container {
    pub(super) fn new(api: Arc<Api>, id: String, folder: Folder) -> Self {
        Self { api, id, folder, starting: Mutex::default() }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Starts the container; the answer may be awaited or not.
    pub(super) async fn start(&self) -> Result<(), EngineError> {
        let (answer, answered) = oneshot::channel();
        let (api, id) = (Arc::clone(&self.api), self.id.clone());
        self.starting().spawn(async move {
            // Nobody waits any more when the link was quicker.
            let _unheard = answer.send(api.start(&id).await);
        });
        answered.await.unwrap_or_else(|_| Err(EngineError::step("start", "it was given up")))
    }

    fn starting(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct PodmanEnclosure {
    container: Arc<Container>,
    init: Init,
    frozen: AtomicBool,
}

impl PodmanEnclosure {
    pub(super) fn new(container: Arc<Container>, init: Init) -> Self {
        Self { container, init, frozen: AtomicBool::new(false) }
    }

    /// SIGKILL to the namespace's first process: the kernel ends all others with it.
    async fn kill_init(&self) -> Result<(), EngineError> {
        match pidfd_send_signal(&self.init.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            // Rootless, and the container's user is not ours to signal: Podman's is.
            Err(_) => self.container.api.kill(&self.container.id).await?,
        }
        // A frozen process takes its signal only once it thaws.
        if self.frozen.swap(false, Ordering::Relaxed) {
            self.init.cgroup.freeze(false).map_err(|e| EngineError::step("kill", e))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Enclosure for PodmanEnclosure {
    async fn kill(&self) -> Result<(), EngineError> {
        self.kill_init().await
    }

    async fn counters(&self) -> Counters {
        self.init.cgroup.counters()
    }

    async fn freeze(&self, frozen: bool) -> Result<(), EngineError> {
        self.init.cgroup.freeze(frozen).map_err(|e| EngineError::step("freeze", e))?;
        self.frozen.store(frozen, Ordering::Relaxed);
        Ok(())
    }

    async fn remove(&self) -> Result<(), EngineError> {
        // The container goes either way; killing first spares Podman its own wait.
        let _reported_by_the_removal = self.kill_init().await;
        let mut starting = std::mem::take(&mut *self.container.starting());
        while starting.join_next().await.is_some() {}
        self.container.api.remove(&self.container.id).await?;
        self.init.cgroup.remove_remains();
        self.container.folder.remove().map_err(|e| EngineError::step("folder", e))
    }
}
