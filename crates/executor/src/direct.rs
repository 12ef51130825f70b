//! The engine for development: the agent as an ordinary child process, with Landlock as the only
//! wall around its commands, and none where the kernel has no Landlock.
//!
//! Code runs with the rights of whoever runs the node, and no limit but the deadline and the output
//! cap holds. It exists so that a caller's program can be tried on a machine without Podman. It
//! starts only when it is asked for by name, and says so loudly.
//!
//! A sandbox is a folder: the link's socket, the three roots, and who it is.

use crate::{
    Counters, Enclosure, Engine, EngineError, EngineKind, Fencing, Found, Labels, PinnedImage,
    Places, Sandbox, Shape, landlock,
};
use async_trait::async_trait;
use contracts::{
    Faults, ImageRef, SandboxId,
    landlock::{Landlock, LandlockMode},
    limits::Limits,
    sandbox::path::LINK_SOCKET,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

/// A process that was just started needs milliseconds; one that looks for its host, a quarter second.
const LINK_WAIT: Duration = Duration::from_secs(5);
/// The agent ends its own children first, then itself.
const TERM_WAIT: Duration = Duration::from_millis(500);
/// What the kernel takes as the address of a socket, without its end.
const MAX_SOCKET_PATH: usize = 107;
/// Of a node's name: enough to tell some apart, where each byte is one less for WORKSPACE_ROOT.
const NODE_BYTES: usize = 8;
/// Of a sandbox's name.
const ID_BYTES: usize = 32;
const IDENTITY: &str = "sandbox.json";
const HELP: &str = "HELP.txt";

#[derive(Debug, Clone)]
pub struct DirectConfig {
    pub node_id: String,
    pub agent: PathBuf,
    pub workspace_root: PathBuf,
    pub fencing: Fencing,
}

pub struct DirectEngine {
    config: DirectConfig,
    root: PathBuf,
}

/// What a folder says about its sandbox, for the next life of the node.
#[derive(Serialize, Deserialize)]
struct Identity {
    pid: u32,
    labels: Labels,
    created_at: i64,
}

impl DirectEngine {
    pub fn open(mut config: DirectConfig) -> Result<Self, EngineError> {
        // It is started elsewhere than we are.
        let agent = config.agent.canonicalize();
        config.agent = agent.map_err(|e| EngineError::step("agent", e))?;
        let landlock = match config.fencing.mode {
            LandlockMode::Off => Landlock::Off,
            _ => landlock::of_kernel(&config.agent)?,
        };
        // Whoever insists on it learns at the start that nothing would run.
        config.fencing.check(landlock)?;
        match landlock.is_enforced() {
            true => tracing::warn!(
                %landlock,
                "CONTAINER_RUNTIME=direct: jobs run WITHOUT A SANDBOX, with the rights of this process \
                 behind Landlock alone; for development only"
            ),
            false => tracing::warn!(
                %landlock,
                "CONTAINER_RUNTIME=direct: jobs run WITHOUT ANY SANDBOX, with the rights of this \
                 process; for development only"
            ),
        }
        let node = config.node_id.get(..NODE_BYTES).unwrap_or(&config.node_id);
        let root = config.workspace_root.join("direct").join(node);
        make_folder(&root).map_err(|e| EngineError::step("folder", e))?;
        let root = root.canonicalize().map_err(|e| EngineError::step("folder", e))?;
        let room = MAX_SOCKET_PATH - (1 + ID_BYTES + 1 + LINK_SOCKET.len());
        if root.as_os_str().len() > room {
            let shown = root.display();
            let why = format!("{shown} is longer than {room} bytes, too long for sockets beneath");
            return Err(EngineError::step("folder", why));
        }
        Ok(Self { config, root })
    }

    fn spawn(&self, folder: &Path, labels: &Labels) -> io::Result<Identity> {
        for part in ["workspace", "job", "tmp"] {
            make_folder(&folder.join(part))?;
        }
        // The agent's rules are about files that are there, and they follow the file, not its name.
        fs::write(folder.join(HELP), "")?;
        let child = tokio::process::Command::new(&self.config.agent)
            .arg("--link")
            .arg(folder.join(LINK_SOCKET))
            .arg("--root-workspace")
            .arg(folder.join("workspace"))
            .arg("--root-job")
            .arg(folder.join("job"))
            .arg("--root-tmp")
            .arg(folder.join("tmp"))
            .args(self.config.fencing.on_host(&folder.join(HELP)))
            // None of the node's own environment: it holds the token.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal from the terminal is for the node, which then decides.
            .process_group(0)
            .spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the agent ended at once"))?;
        let created_at = std::time::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_secs() as i64);
        let identity = Identity { pid, labels: labels.clone(), created_at };
        fs::write(folder.join(IDENTITY), serde_json::to_vec(&identity)?)?;
        Ok(identity)
    }

    async fn link(
        &self,
        id: &SandboxId,
        folder: PathBuf,
        listener: UnixListener,
        pid: u32,
    ) -> Result<Sandbox, EngineError> {
        let limit = EngineError::Slow { step: "link", limit: LINK_WAIT };
        let accepted = tokio::time::timeout(LINK_WAIT, accept(&listener, pid)).await;
        let stream = accepted.map_err(|_| limit)?.map_err(|e| EngineError::step("link", e))?;
        let gone = fs::remove_file(folder.join(LINK_SOCKET));
        gone.map_err(|e| EngineError::step("link", e))?;
        let pidfd = pidfd(pid).map_err(|e| EngineError::step("link", e))?;
        let enclosure = Arc::new(DirectEnclosure { folder, pidfd });
        let sandbox = Sandbox::over(id.clone(), stream, enclosure).await?;
        self.config.fencing.check(sandbox.landlock())?;
        Ok(sandbox)
    }

    fn folder(&self, id: &SandboxId) -> PathBuf {
        self.root.join(id.as_str())
    }
}

#[async_trait]
impl Engine for DirectEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Direct
    }

    fn version(&self) -> String {
        "none".to_owned()
    }

    async fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// Nothing is enforced here, and refusing each job would leave nothing to develop with.
    fn unenforceable(&self, _limits: &Limits) -> Faults {
        Faults::default()
    }

    async fn pin(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        Ok(Arc::new(PinnedImage {
            reference: image.clone(),
            id: "direct".to_owned(),
            env: Vec::new(),
            command: Vec::new(),
        }))
    }

    async fn create(
        &self,
        id: SandboxId,
        _shape: &Shape,
        labels: &Labels,
    ) -> Result<Sandbox, EngineError> {
        let folder = self.folder(&id);
        make_folder(&folder).map_err(|e| EngineError::step("folder", e))?;
        let made = async {
            let listener = listen(&folder).map_err(|e| EngineError::step("link", e))?;
            let identity =
                self.spawn(&folder, labels).map_err(|e| EngineError::step("start", e))?;
            self.link(&id, folder, listener, identity.pid).await
        };
        let made = made.await;
        if made.is_err() {
            self.remove(&id).await?;
        }
        made
    }

    async fn adopt(&self, id: &SandboxId) -> Result<Sandbox, EngineError> {
        let folder = self.folder(id);
        let identity = read_identity(&folder).filter(|identity| runs(identity.pid, &folder));
        let identity = identity.ok_or_else(|| EngineError::Gone(id.clone()))?;
        let listener = listen(&folder).map_err(|e| EngineError::step("link", e))?;
        self.link(id, folder, listener, identity.pid).await
    }

    async fn list(&self) -> Result<Vec<Found>, EngineError> {
        let entries = fs::read_dir(&self.root).map_err(|e| EngineError::step("folder", e))?;
        let found = |entry: fs::DirEntry| {
            let sandbox = SandboxId::new(entry.file_name().to_str()?).ok()?;
            // One whose node died before it had written down whose it is.
            let Some(identity) = read_identity(&entry.path()) else {
                return Some(Found::remains(sandbox));
            };
            Some(Found {
                sandbox,
                engine_id: identity.pid.to_string(),
                running: runs(identity.pid, &entry.path()),
                image: "direct".to_owned(),
                created_at: identity.created_at,
                labels: identity.labels,
            })
        };
        Ok(entries.flatten().filter_map(found).collect())
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), EngineError> {
        let folder = self.folder(id);
        if let Some(identity) = read_identity(&folder)
            && runs(identity.pid, &folder)
        {
            let pidfd = pidfd(identity.pid).map_err(|e| EngineError::step("remove", e))?;
            end(&pidfd).await.map_err(|e| EngineError::step("remove", e))?;
        }
        remove_folder(&folder)
    }
}

struct DirectEnclosure {
    folder: PathBuf,
    pidfd: OwnedFd,
}

#[async_trait]
impl Enclosure for DirectEnclosure {
    fn places(&self) -> Places {
        let place = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let (workspace, job, tmp) = (place("workspace"), place("job"), place("tmp"));
        Places { workspace, job, tmp, help: place(HELP) }
    }

    async fn explain(&self, text: &str) -> Result<(), EngineError> {
        fs::write(self.folder.join(HELP), text).map_err(|e| EngineError::step("help", e))
    }

    async fn kill(&self) -> Result<(), EngineError> {
        end(&self.pidfd).await.map_err(|e| EngineError::step("kill", e))
    }

    async fn counters(&self) -> Counters {
        Counters::default()
    }

    async fn freeze(&self, _frozen: bool) -> Result<(), EngineError> {
        Ok(())
    }

    async fn remove(&self) -> Result<(), EngineError> {
        self.kill().await?;
        remove_folder(&self.folder)
    }
}

/// TERM lets the agent end what it started; KILL follows if it doesn't.
async fn end(pidfd: &OwnedFd) -> io::Result<()> {
    let signal = |signal| match pidfd_send_signal(pidfd, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(io::Error::from(error)),
    };
    signal(Signal::TERM)?;
    // SAFETY: the descriptor is owned by the `AsyncFd` and stays open as long as it is registered.
    let watched = unsafe { tokio::io::unix::AsyncFd::register(pidfd.try_clone()?) }?;
    // A pidfd becomes readable when its process has ended.
    if tokio::time::timeout(TERM_WAIT, watched.readable()).await.is_err() {
        signal(Signal::KILL)?;
        watched.readable().await?.retain_ready();
    }
    Ok(())
}

async fn accept(listener: &UnixListener, pid: u32) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        if stream.peer_cred()?.pid().is_some_and(|peer| peer as u32 == pid) {
            return Ok(stream);
        }
    }
}

fn listen(folder: &Path) -> io::Result<UnixListener> {
    let socket = folder.join(LINK_SOCKET);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(socket)
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_folder(path: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::step("folder", error))
        }
        _ => Ok(()),
    }
}

fn read_identity(folder: &Path) -> Option<Identity> {
    serde_json::from_slice(&fs::read(folder.join(IDENTITY)).ok()?).ok()
}

/// Whether the process is still the agent of this folder, and not one that got its number later.
fn runs(pid: u32, folder: &Path) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let folder = folder.as_os_str().as_encoded_bytes();
    command.windows(folder.len()).any(|part| part == folder)
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}
