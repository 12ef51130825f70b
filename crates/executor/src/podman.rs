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
mod pod;
mod spec;

use crate::{
    Enclosure, Engine, EngineError, EngineKind, Fencing, Found, Labels, PinnedImage, Sandbox,
    Shape, TlsGate, landlock, seccomp,
};
use api::{Api, Process};
use async_trait::async_trait;
use cgroup::Cgroup;
use contracts::{
    Faults, ImageRef, SandboxId,
    limits::Limits,
    sandbox::{INFERENCE_HOST, label, path},
};
use enclosure::{Container, PodmanEnclosure};
use folder::{Folder, Folders, HELP, SEARCHED, SHARED};
use images::Images;
pub use images::{ImagePolicy, Pull};
use pod::{Pod, Sidecar, phase};
use spec::{Files, Host};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::UnixListener;

/// From the start of a container until its agent has said hello. A loaded host takes a second or
/// two; beyond this the container is as good as dead.
const LINK_WAIT: Duration = Duration::from_secs(20);

/// An agent that waits for its next host tries at least four times a second.
const ADOPT_WAIT: Duration = Duration::from_secs(5);

/// The gate's sockets, in a folder of their own.
const GATE_SOCKET: &str = "gate.sock";
const TLS_SOCKET: &str = "tls.sock";

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
    /// On a node that has inference.
    pub proxy: Option<ProxyConfig>,
    pub fencing: Fencing,
}

/// The inference proxy of each sandbox. It refuses what the gate behind it would: sooner, and no less.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    pub image: ImageRef,
    /// Of a call to a model.
    pub max_body_bytes: u64,
    /// For such a body to arrive.
    pub body_time: Duration,
}

pub struct PodmanEngine {
    api: Arc<Api>,
    host: Host,
    version: String,
    node_id: String,
    folders: Folders,
    /// The folders of the gate's sockets, of the proxies', and of the authorities: of sandboxes with
    /// inference only.
    gates: Folders,
    proxies: Folders,
    trusts: Folders,
    images: Images,
    proxy: Option<ProxyConfig>,
}

impl PodmanEngine {
    /// Looks at the host once: what Podman is, what it can hold, where things are.
    pub async fn open(config: PodmanConfig) -> Result<Self, EngineError> {
        let api = Arc::new(Api::new(&config.socket));
        let info = api.info().await?;
        let agent = config.agent.canonicalize().map_err(|e| EngineError::step("agent", e))?;
        let files = write_files(&config.state_dir).map_err(|e| EngineError::step("state", e))?;
        let landlock = landlock::of_kernel(&agent)?;
        let fencing = config.fencing;
        let asked = fencing.mode.name();
        let host = Host::look(&info, agent, files, fencing);
        let open = |part: String| {
            Folders::open(&config.workspace_root, &part).map_err(|e| EngineError::step("folder", e))
        };
        let folders = open(config.node_id.clone())?;
        let gates = open(format!("{}.gate", config.node_id))?;
        let proxies = open(format!("{}.proxy", config.node_id))?;
        let trusts = open(format!("{}.trust", config.node_id))?;
        let images = Images::new(Arc::clone(&api), config.images)?;
        tracing::info!(
            podman = %info.version,
            runtime = %info.runtime,
            rootless = info.rootless,
            cgroups = %info.cgroup_version,
            userns_auto = host.userns_auto,
            landlock = asked,
            kernel_landlock = %landlock,
            "podman engine is open"
        );
        Ok(Self {
            api,
            host,
            version: info.version,
            node_id: config.node_id,
            folders,
            gates,
            proxies,
            trusts,
            images,
            proxy: config.proxy,
        })
    }

    async fn link(
        &self,
        id: &SandboxId,
        container: &Arc<Container>,
        listening: folder::Listening,
        limit: Duration,
    ) -> Result<(Sandbox, Arc<PodmanEnclosure>), EngineError> {
        let accept = async {
            let (stream, init) = peer::accept_init(&listening, container.id()).await?;
            let enclosure = Arc::new(PodmanEnclosure::new(Arc::clone(container), init));
            let outside: Arc<dyn Enclosure> = Arc::clone(&enclosure) as Arc<dyn Enclosure>;
            let sandbox = Sandbox::over(id.clone(), stream, outside).await?;
            self.host.fencing.check(sandbox.landlock())?;
            Ok::<_, EngineError>((sandbox, enclosure))
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
        let pod = match shape.door {
            true => Some(self.make_pod(id).await?),
            false => None,
        };
        let folder = self.folders.make(id, SEARCHED).map_err(folder_fault)?;
        let listening = folder.listen(path::LINK_SOCKET).map_err(folder_fault)?;
        // It is filled for whoever gets the sandbox.
        folder.write(HELP, "").map_err(folder_fault)?;
        let seen = spec::SandboxFolders {
            link: folder.path(),
            help: folder.path().join(HELP),
            pod: pod.as_ref(),
        };
        let spec = spec::container(id, &self.node_id, shape, labels, &self.host, &seen);
        let container_id = self.api.create(&spec).await?;
        let container = Arc::new(Container::new(Arc::clone(&self.api), container_id, folder, pod));
        let start = container.start();
        let link = self.link(id, &container, listening, LINK_WAIT);
        tokio::pin!(start, link);
        let (sandbox, enclosure) = tokio::select! {
            linked = &mut link => linked?,
            started = &mut start => { started?; link.await? }
        };
        match container.pod() {
            Some(pod) => self.make_sidecar(sandbox, &enclosure, &container, pod).await,
            None => Ok(sandbox),
        }
    }

    async fn make_pod(&self, id: &SandboxId) -> Result<Pod, EngineError> {
        let pod = self.pod(id, |folders, mode| folders.make(id, mode).map(Some))?;
        let pod = pod.ok_or_else(|| EngineError::step(phase::POD, "it has no folders"))?;
        let labels = [(label::NODE, self.node_id.as_str()), (label::SIDECAR_OF, id.as_str())];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        self.api.create_pod(&pod.name, &labels).await?;
        Ok(pod)
    }

    /// The pod of a sandbox, with its folders made or found.
    fn pod(
        &self,
        id: &SandboxId,
        folder: impl Fn(&Folders, u32) -> io::Result<Option<Folder>>,
    ) -> Result<Option<Pod>, EngineError> {
        let gate = folder(&self.gates, SEARCHED).map_err(folder_fault)?;
        let proxy = folder(&self.proxies, SHARED).map_err(folder_fault)?;
        let trust = folder(&self.trusts, SEARCHED).map_err(folder_fault)?;
        let pod = |((gate, proxy), trust)| Pod { name: spec::pod_name(id), gate, proxy, trust };
        Ok(gate.zip(proxy).zip(trust).map(pod))
    }

    /// Starts the sidecar beside a sandbox that runs, and sees to it that it answers in there.
    async fn make_sidecar(
        &self,
        sandbox: Sandbox,
        enclosure: &PodmanEnclosure,
        container: &Container,
        pod: &Pod,
    ) -> Result<Sandbox, EngineError> {
        let failed = |e: EngineError| EngineError::step(phase::START, e);
        let (gate, tls_gate) = listen(pod)?;
        let (proxy, image) = self.proxy().await.map_err(failed)?;
        let between = spec::Between {
            sandbox: sandbox.id(),
            container: container.id(),
            gate: pod.gate.path(),
            gate_socket: GATE_SOCKET,
            tls_socket: TLS_SOCKET,
            proxy: pod.proxy.path(),
            proxy_socket: path::INFERENCE_SOCKET,
        };
        let spec = spec::sidecar((proxy, &image), &self.node_id, &self.host, &between);
        let sidecar = self.api.create(&spec).await.map_err(failed)?;
        self.api.start(&sidecar).await.map_err(failed)?;
        enclosure.stands_beside(Sidecar::find(&self.api, &sidecar).await?);
        pod::await_proxy(&sandbox).await?;
        Ok(sandbox.with_gates(gate, tls_gate))
    }

    /// Finds the sidecar of a sandbox of an earlier life, and listens where it will call.
    async fn adopt_sidecar(
        &self,
        sandbox: Sandbox,
        enclosure: &PodmanEnclosure,
        pod: &Pod,
    ) -> Result<Sandbox, EngineError> {
        let (gate, tls_gate) = listen(pod)?;
        let name = spec::sidecar_name(sandbox.id());
        enclosure.stands_beside(Sidecar::find(&self.api, &name).await?);
        Ok(sandbox.with_gates(gate, tls_gate))
    }

    async fn proxy(&self) -> Result<(&ProxyConfig, Arc<PinnedImage>), EngineError> {
        let proxy = self.proxy.as_ref().ok_or_else(no_inference)?;
        Ok((proxy, self.images.pin_own(&proxy.image).await?))
    }
}

/// Lets a container's processes go on, if it has any.
fn thaw(process: &Process) -> Option<()> {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid?)).ok()?;
    // A pid is used again: only the container's own cgroup is touched.
    if !groups.contains(&process.container) {
        return None;
    }
    if let Err(error) = Cgroup::of(&groups).freeze(false) {
        tracing::debug!(container = process.container, %error, "not thawed");
    }
    Some(())
}

/// Where the sidecar of a pod will call.
fn listen(pod: &Pod) -> Result<(UnixListener, TlsGate), EngineError> {
    let listen = |name| pod.gate.listen(name).and_then(folder::Listening::keep);
    let gates = listen(GATE_SOCKET).and_then(|gate| Ok((gate, listen(TLS_SOCKET)?)));
    let (gate, tls) = gates.map_err(|e| EngineError::step(phase::GATE, e))?;
    Ok((gate, TlsGate::new(tls, pod.trust.path().to_owned())))
}

fn no_inference() -> EngineError {
    let reason = "no image for the inference proxy is configured".to_owned();
    EngineError::Unsupported { what: "inference".to_owned(), reason }
}

fn folder_fault(error: io::Error) -> EngineError {
    EngineError::step("folder", error)
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
        let process = self.api.process(&spec::name(id)).await?;
        // One that its earlier host had frozen would never call.
        thaw(&process).ok_or_else(gone)?;
        let container_id = process.container;
        let folder = self.folders.find(id).ok_or_else(gone)?;
        let listening = folder.listen(path::LINK_SOCKET).map_err(folder_fault)?;
        let pod = self.pod(id, |folders, _| Ok(folders.find(id)))?;
        let container = Arc::new(Container::new(Arc::clone(&self.api), container_id, folder, pod));
        let (sandbox, enclosure) = self.link(id, &container, listening, ADOPT_WAIT).await?;
        match container.pod() {
            Some(pod) => self.adopt_sidecar(sandbox, &enclosure, pod).await,
            None => Ok(sandbox),
        }
    }

    async fn sidecar(&self) -> Result<(), EngineError> {
        self.proxy().await.map(drop)
    }

    async fn list(&self) -> Result<Vec<Found>, EngineError> {
        let mut found = self.api.list(label::NODE, &self.node_id).await?;
        // A folder whose container is gone belongs to a sandbox all the same.
        let folders = [&self.folders, &self.gates, &self.proxies, &self.trusts];
        for sandbox in folders.into_iter().flat_map(Folders::all) {
            if !found.iter().any(|other| other.sandbox == sandbox) {
                found.push(Found::remains(sandbox));
            }
        }
        Ok(found)
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), EngineError> {
        // The folders are made first and removed last: who has none has no pod.
        if self.gates.find(id).is_some() {
            self.api.remove_pod(&spec::pod_name(id)).await?;
        }
        self.api.remove(&spec::name(id)).await?;
        for folders in [&self.trusts, &self.proxies, &self.gates, &self.folders] {
            if let Some(folder) = folders.find(id) {
                folder.remove().map_err(folder_fault)?;
            }
        }
        Ok(())
    }
}

fn write_files(state_dir: &Path) -> io::Result<Files> {
    let state_dir = state_dir.canonicalize()?;
    let (seccomp_profile, hosts) = (state_dir.join("seccomp.json"), state_dir.join("hosts"));
    let inference_hosts = state_dir.join("hosts.inference");
    let resolver = state_dir.join("resolv.conf");
    fs::write(&seccomp_profile, serde_json::to_vec(&seccomp::profile())?)?;
    fs::write(&hosts, "127.0.0.1 localhost\n")?;
    fs::write(&inference_hosts, format!("127.0.0.1 localhost {INFERENCE_HOST}\n"))?;
    fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:3 attempts:1\n")?;
    Ok(Files { seccomp_profile, hosts, inference_hosts, resolver })
}
