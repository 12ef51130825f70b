//! The engine of the product: sandboxes as Podman containers, over Podman's socket.
//!
//! ```text
//!   create ─► folder + listening socket ─► container create ─► start ┐
//!                                                                    ├─► link ─► Sandbox
//!             the agent connects, its identity is read from /proc ───┘
//! ```
//!
//! The link is up before Podman has finished telling that the container runs, so nothing waits for
//! that answer. Removal runs backwards: kill by pidfd, container, folder.

mod api;
mod cgroup;
mod enclosure;
mod folder;
mod images;
mod peer;
mod spec;

use crate::{Engine, EngineError, EngineKind, Found, Labels, PinnedImage, Sandbox, Shape, seccomp};
use api::Api;
use async_trait::async_trait;
use contracts::{Faults, ImageRef, SandboxId, limits::Limits, sandbox::label};
use enclosure::{Container, PodmanEnclosure};
use folder::Folders;
use images::Images;
pub use images::{ImagePolicy, Pull};
use spec::{Files, Host};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// From the start of a container until its agent has said hello. A loaded host takes a second or
/// two; beyond this the container is as good as dead.
const LINK_WAIT: Duration = Duration::from_secs(20);

/// An agent that waits for its next host tries at least four times a second.
const ADOPT_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub struct PodmanConfig {
    /// Podman's socket.
    pub socket: PathBuf,
    /// Which node's containers these are.
    pub node_id: String,
    /// The static agent binary, on the host that Podman runs on.
    pub agent: PathBuf,
    /// Where each sandbox gets its folder.
    pub workspace_root: PathBuf,
    /// Where the seccomp profile is written for the runtime to read.
    pub state_dir: PathBuf,
    pub images: ImagePolicy,
}

pub struct PodmanEngine {
    api: Arc<Api>,
    host: Host,
    version: String,
    node_id: String,
    folders: Folders,
    images: Images,
}

impl PodmanEngine {
    /// Looks at the host once: what Podman is, what it can hold, where things are.
    pub async fn open(config: PodmanConfig) -> Result<Self, EngineError> {
        let api = Arc::new(Api::new(&config.socket));
        let info = api.info().await?;
        let agent = config.agent.canonicalize().map_err(|e| EngineError::step("agent", e))?;
        let files = write_files(&config.state_dir).map_err(|e| EngineError::step("state", e))?;
        let host = Host::look(&info, agent, files);
        let folders = Folders::open(&config.workspace_root, &config.node_id)
            .map_err(|e| EngineError::step("folder", e))?;
        let images = Images::new(Arc::clone(&api), config.images)?;
        tracing::info!(
            podman = %info.version,
            runtime = %info.runtime,
            rootless = info.rootless,
            cgroups = %info.cgroup_version,
            userns_auto = host.userns_auto,
            "podman engine is open"
        );
        Ok(Self { api, host, version: info.version, node_id: config.node_id, folders, images })
    }

    async fn link(
        &self,
        id: &SandboxId,
        container: &Arc<Container>,
        listening: folder::Listening,
        limit: Duration,
    ) -> Result<Sandbox, EngineError> {
        let accept = async {
            let (stream, init) = peer::accept_init(&listening, container.id()).await?;
            let enclosure = Arc::new(PodmanEnclosure::new(Arc::clone(container), init));
            Ok::<_, EngineError>(Sandbox::over(id.clone(), stream, enclosure).await?)
        };
        let limited = tokio::time::timeout(limit, accept).await;
        limited.map_err(|_| EngineError::Slow { step: "link", limit })?
    }

    async fn make(
        &self,
        id: &SandboxId,
        shape: &Shape,
        labels: &Labels,
    ) -> Result<Sandbox, EngineError> {
        let folder = self.folders.make(id).map_err(|e| EngineError::step("folder", e))?;
        let listening = folder.listen().map_err(|e| EngineError::step("folder", e))?;
        let spec = spec::container(id, &self.node_id, shape, labels, &self.host, folder.path());
        let container_id = self.api.create(&spec).await?;
        let container = Arc::new(Container::new(Arc::clone(&self.api), container_id, folder));
        let start = container.start();
        let link = self.link(id, &container, listening, LINK_WAIT);
        tokio::pin!(start, link);
        tokio::select! {
            linked = &mut link => linked,
            started = &mut start => { started?; link.await }
        }
    }
}

/// What a Podman says of itself and its host.
#[derive(Debug, Clone)]
pub struct Described {
    pub version: String,
    pub runtime: String,
    pub runtime_version: String,
    pub rootless: bool,
    pub cgroup_version: String,
    pub cgroup_controllers: Vec<String>,
    /// The host has a range of ids for sandboxes.
    pub subordinate_ids: bool,
}

/// Asks a Podman what it is, without opening an engine on it.
pub async fn describe(socket: &Path) -> Result<Described, EngineError> {
    let info = Api::new(socket).info().await?;
    Ok(Described {
        version: info.version,
        runtime: info.runtime,
        runtime_version: info.runtime_version,
        rootless: info.rootless,
        cgroup_version: info.cgroup_version,
        cgroup_controllers: info.cgroup_controllers,
        subordinate_ids: spec::has_subordinate_ids(),
    })
}

#[async_trait]
impl Engine for PodmanEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Podman
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    async fn ready(&self) -> Result<(), EngineError> {
        self.api.ping().await
    }

    fn unenforceable(&self, limits: &Limits) -> Faults {
        self.host.unenforceable(limits)
    }

    async fn pin(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        self.images.pin(image).await
    }

    async fn pin_anew(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        self.images.pin_anew(image).await
    }

    async fn create(
        &self,
        id: SandboxId,
        shape: &Shape,
        labels: &Labels,
    ) -> Result<Sandbox, EngineError> {
        let made = self.make(&id, shape, labels).await;
        if made.is_err()
            && let Err(error) = self.remove(&id).await
        {
            tracing::warn!(sandbox = %id, %error, "what remains of a failed sandbox is left to the sweep");
        }
        made
    }

    async fn adopt(&self, id: &SandboxId) -> Result<Sandbox, EngineError> {
        let gone = || EngineError::Gone(id.clone());
        let found = self.list().await?;
        let found = found.into_iter().find(|found| found.sandbox == *id && found.running);
        let container_id = found.ok_or_else(gone)?.engine_id;
        let folder = self.folders.find(id).ok_or_else(gone)?;
        let listening = folder.listen().map_err(|e| EngineError::step("folder", e))?;
        let container = Arc::new(Container::new(Arc::clone(&self.api), container_id, folder));
        self.link(id, &container, listening, ADOPT_WAIT).await
    }

    async fn list(&self) -> Result<Vec<Found>, EngineError> {
        let mut found = self.api.list(label::NODE, &self.node_id).await?;
        // A folder whose container is gone belongs to a sandbox all the same.
        for sandbox in self.folders.all() {
            if !found.iter().any(|other| other.sandbox == sandbox) {
                found.push(Found::remains(sandbox));
            }
        }
        Ok(found)
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), EngineError> {
        self.api.remove(&spec::name(id)).await?;
        match self.folders.find(id) {
            Some(folder) => folder.remove().map_err(|e| EngineError::step("folder", e)),
            None => Ok(()),
        }
    }
}

fn write_files(state_dir: &Path) -> io::Result<Files> {
    let state_dir = state_dir.canonicalize()?;
    let (seccomp_profile, hosts) = (state_dir.join("seccomp.json"), state_dir.join("hosts"));
    fs::write(&seccomp_profile, serde_json::to_vec(&seccomp::profile())?)?;
    fs::write(&hosts, "127.0.0.1 localhost\n::1 localhost\n")?;
    Ok(Files { seccomp_profile, hosts })
}
