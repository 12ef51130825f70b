//! The wall around one sandbox, from outside: its container, its first process, its cgroup.

use super::{
    api::Api,
    folder::{Folder, HELP},
    peer::Init,
    pod::{Pod, Sidecar, phase},
};
use crate::{Counters, Enclosure, EngineError};
use async_trait::async_trait;
use rustix::{
    io::Errno,
    process::{Signal, pidfd_send_signal},
};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::oneshot, task::JoinSet};

/// A container and the folder that belongs to it.
pub(super) struct Container {
    api: Arc<Api>,
    id: String,
    folder: Folder,
    /// With inference, what it is in.
    pod: Option<Pod>,
    /// The call that starts the container. It outlives its caller: hanging up on Podman in the
    /// middle of a start could leave a half-started container.
    starting: Mutex<JoinSet<()>>,
}

impl Container {
    pub(super) fn new(api: Arc<Api>, id: String, folder: Folder, pod: Option<Pod>) -> Self {
        Self { api, id, folder, pod, starting: Mutex::default() }
    }

    pub(super) fn pod(&self) -> Option<&Pod> {
        self.pod.as_ref()
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn explain(&self, text: &str) -> Result<(), EngineError> {
        self.folder.write(HELP, text).map_err(|e| EngineError::step("help", e))
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
    /// There once it runs.
    sidecar: OnceLock<Sidecar>,
}

impl PodmanEnclosure {
    pub(super) fn new(container: Arc<Container>, init: Init) -> Self {
        Self { container, init, frozen: AtomicBool::new(false), sidecar: OnceLock::new() }
    }

    pub(super) fn stands_beside(&self, sidecar: Sidecar) {
        // A sandbox gets one, by the one who makes or adopts it.
        let _first = self.sidecar.set(sidecar);
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
    async fn explain(&self, text: &str) -> Result<(), EngineError> {
        self.container.explain(text)
    }

    async fn kill(&self) -> Result<(), EngineError> {
        self.kill_init().await
    }

    async fn broken(&self) -> &'static str {
        match self.sidecar.get() {
            Some(sidecar) => sidecar.ended().await,
            None => std::future::pending().await,
        }
        phase::GATE
    }

    fn is_broken(&self) -> bool {
        self.sidecar.get().is_some_and(Sidecar::is_ending)
    }

    async fn counters(&self) -> Counters {
        self.init.cgroup.counters()
    }

    async fn processes(&self) -> usize {
        self.init.cgroup.processes()
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
        if let Some(sidecar) = self.sidecar.get() {
            // As above: killing first spares Podman its wait.
            let _reported_by_the_removal = sidecar.kill();
        }
        match &self.container.pod {
            Some(pod) => pod.remove(&self.container.api).await?,
            None => self.container.api.remove(&self.container.id).await?,
        }
        self.init.cgroup.remove_remains();
        self.container.folder.remove().map_err(|e| EngineError::step("folder", e))
    }
}
