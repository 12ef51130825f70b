//! The calls to Podman: `podman-api` where it has one, a small typed request where it has not.
//!
//! Creation is our own request because the library's options drop what we must be sure of: it sends
//! `no_new_privilages`, which Podman ignores in silence.

use super::{pod::phase, spec::ContainerSpec};
use crate::{EngineError, Found, Labels, error::Source};
use contracts::{ImageRef, SandboxId, sandbox::label};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, body::Bytes, header};
use hyper_util::rt::TokioIo;
use podman_api::{
    ApiVersion, Error as ApiError, Id, Podman,
    opts::{ContainerDeleteOpts, ContainerListFilter, ContainerListOpts, PodCreateOpts, PullOpts},
};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, task::JoinSet};

/// Podman answers within milliseconds, a loaded one within seconds; this bounds a hung one, whose
/// silence would hold up a removal's turn, a sweep, the pool or a caller for ever.
const LIMIT: Duration = Duration::from_secs(60);
/// Largest answer that we read of our own requests.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// A removal can find a mount busy while the container's monitor is still leaving it.
const REMOVE_PAUSES_MS: [u64; 5] = [20, 60, 150, 400, 1000];

pub(super) struct Api {
    podman: Podman,
    socket: PathBuf,
}

/// What matters of `podman info`.
pub(super) struct Info {
    pub(super) version: String,
    pub(super) runtime: String,
    pub(super) runtime_version: String,
    pub(super) rootless: bool,
    pub(super) cgroup_version: String,
    pub(super) cgroup_controllers: Vec<String>,
}

/// What matters of an image's inspection.
pub(super) struct Inspected {
    pub(super) id: String,
    pub(super) env: Vec<String>,
    pub(super) entrypoint: Vec<String>,
    pub(super) cmd: Vec<String>,
}

/// A container as the kernel has it.
pub(super) struct Process {
    pub(super) container: String,
    pub(super) pid: Option<u32>,
}

impl Api {
    pub(super) fn new(socket: &Path) -> Self {
        let podman = Podman::unix_versioned(socket, ApiVersion::new(4, Some(0), Some(0)));
        Self { podman, socket: socket.to_owned() }
    }

    pub(super) async fn ping(&self) -> Result<(), EngineError> {
        let answered = tokio::time::timeout(Duration::from_secs(5), self.podman.ping()).await;
        let slow = EngineError::Slow { step: "engine", limit: Duration::from_secs(5) };
        answered.map_err(|_| slow)?.map(drop).map_err(unreachable)
    }

    pub(super) async fn info(&self) -> Result<Info, EngineError> {
        let info = bounded("engine", self.podman.info()).await?.map_err(unreachable)?;
        let host =
            info.host.ok_or_else(|| EngineError::step("engine", "it told nothing of its host"))?;
        let runtime = host.oci_runtime;
        Ok(Info {
            version: info.version.and_then(|version| version.version).unwrap_or_default(),
            runtime: runtime.as_ref().and_then(|runtime| runtime.name.clone()).unwrap_or_default(),
            runtime_version: runtime.and_then(|runtime| runtime.version).unwrap_or_default(),
            rootless: host.security.and_then(|security| security.rootless).unwrap_or(false),
            cgroup_version: host.cgroup_version.unwrap_or_default(),
            cgroup_controllers: host.cgroup_controllers.unwrap_or_default(),
        })
    }

    /// Creates a container and gives its id.
    pub(super) async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(rename = "Id")]
            id: String,
        }
        let body = serde_json::to_vec(spec).map_err(|e| EngineError::step("create", e))?;
        let request = Request::post("/v4.0.0/libpod/containers/create");
        let answer = bounded("create", self.ask(request, body, StatusCode::CREATED)).await??;
        let created: Created =
            serde_json::from_slice(&answer).map_err(|e| EngineError::step("create", e))?;
        Ok(created.id)
    }

    /// The id of a container and its process, if it runs. Our own request, because the library's has
    /// Podman measure the container's disk as well.
    pub(super) async fn process(&self, container: &str) -> Result<Process, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            id: String,
            state: State,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct State {
            pid: u32,
        }
        let request = Request::get(format!("/v4.0.0/libpod/containers/{container}/json"));
        let answer = bounded("inspect", self.ask(request, Vec::new(), StatusCode::OK)).await??;
        let inspected: Inspected =
            serde_json::from_slice(&answer).map_err(|e| EngineError::step("inspect", e))?;
        let pid = Some(inspected.state.pid).filter(|pid| *pid > 0);
        Ok(Process { container: inspected.id, pid })
    }

    /// A pod that holds its containers together and nothing else: no container of its own.
    pub(super) async fn create_pod(&self, name: &str, labels: &Labels) -> Result<(), EngineError> {
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let opts = PodCreateOpts::builder().name(name).no_infra(true).labels(labels).build();
        let pods = self.podman.pods();
        let created = bounded(phase::POD, pods.create(&opts)).await?;
        created.map(drop).map_err(|e| EngineError::step(phase::POD, e))
    }

    /// Removes a pod with all its containers. Gone already is done.
    pub(super) async fn remove_pod(&self, name: &str) -> Result<(), EngineError> {
        let mut patience = Patience::default();
        loop {
            let pod = self.podman.pods().get(name);
            match bounded("remove", pod.remove()).await? {
                Ok(report) if report.err.is_none() => return Ok(()),
                Ok(_) => patience.wait_after("a container of the pod resists").await?,
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }

    async fn ask(
        &self,
        request: hyper::http::request::Builder,
        body: Vec<u8>,
        expected: StatusCode,
    ) -> Result<Bytes, EngineError> {
        let failed = |e: hyper::Error| EngineError::step("create", e);
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| EngineError::Unreachable(e.into()))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // The connection lives as long as this call: dropping the set ends it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = request
            .header(header::HOST, "podman")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| EngineError::step("create", e))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|e| EngineError::step("create", e))?.to_bytes();
        if status == expected {
            return Ok(body);
        }
        Err(EngineError::step("create", fault_text(status, &body)))
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), EngineError> {
        let container = self.podman.containers().get(container);
        let started = bounded("start", container.start(None)).await?;
        started.map_err(|e| EngineError::step("start", e))
    }

    /// Removes a container by id or name, killing it if it runs. Gone already is done.
    pub(super) async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let opts = ContainerDeleteOpts::builder().force(true).volumes(true).timeout(0).build();
        let mut patience = Patience::default();
        loop {
            let container = self.podman.containers().get(container);
            match bounded("remove", container.delete(&opts)).await? {
                Ok(()) => return Ok(()),
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => patience.wait_after(error).await?,
            }
        }
    }

    pub(super) async fn kill(&self, container: &str) -> Result<(), EngineError> {
        let container = self.podman.containers().get(container);
        let killed = bounded("kill", container.send_signal("SIGKILL")).await?;
        killed.map_err(|e| EngineError::step("kill", e))
    }

    pub(super) async fn list(&self, key: &str, value: &str) -> Result<Vec<Found>, EngineError> {
        let filter = ContainerListFilter::LabelKeyVal(key.to_owned(), value.to_owned());
        let opts = ContainerListOpts::builder().all(true).filter([filter]).build();
        let containers = self.podman.containers();
        let containers = bounded("list", containers.list(&opts)).await?.map_err(unreachable)?;
        Ok(containers.into_iter().filter_map(found).collect())
    }

    /// `None` when the image is not on this node.
    pub(super) async fn image(&self, image: &ImageRef) -> Result<Option<Inspected>, EngineError> {
        let known = self.podman.images().get(encoded(image));
        let inspected = match bounded("image", known.inspect()).await? {
            Ok(inspected) => inspected,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(unreachable(error)),
        };
        let (env, entrypoint, cmd) = match inspected.config {
            Some(config) => (config.env, config.entrypoint, config.cmd),
            None => (None, None, None),
        };
        let id = inspected.id.ok_or_else(|| EngineError::step("image", "Podman named no id"))?;
        Ok(Some(Inspected {
            id,
            env: env.unwrap_or_default(),
            entrypoint: entrypoint.unwrap_or_default(),
            cmd: cmd.unwrap_or_default(),
        }))
    }

    pub(super) async fn pull(&self, image: &ImageRef) -> Result<(), String> {
        use futures::TryStreamExt;
        let opts = PullOpts::builder().reference(image.as_str()).quiet(true).build();
        let images = self.podman.images();
        let mut reports = images.pull(&opts);
        while let Some(report) = reports.try_next().await.map_err(|e| e.to_string())? {
            if let Some(error) = report.error {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// How often a removal that failed is tried again.
struct Patience(std::slice::Iter<'static, u64>);

impl Default for Patience {
    fn default() -> Self {
        Self(REMOVE_PAUSES_MS.iter())
    }
}

impl Patience {
    /// Returns when it is time for another try, or with the error when there is none left.
    async fn wait_after(&mut self, error: impl Into<Source>) -> Result<(), EngineError> {
        let Some(&pause) = self.0.next() else {
            return Err(EngineError::step("remove", error));
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok(())
    }
}

async fn bounded<T>(step: &'static str, call: impl Future<Output = T>) -> Result<T, EngineError> {
    let answered = tokio::time::timeout(LIMIT, call).await;
    answered.map_err(|_| EngineError::Slow { step, limit: LIMIT })
}

fn is_gone(error: &ApiError) -> bool {
    matches!(error, ApiError::Fault { code, .. } if code.as_u16() == 404)
}

/// The reference as one segment of a path.
fn encoded(image: &ImageRef) -> Id {
    Id::from(image.as_str().replace('/', "%2F").replace('@', "%40"))
}

fn unreachable(error: ApiError) -> EngineError {
    EngineError::Unreachable(Box::new(error))
}

/// Podman's own words for a refusal, for our log: they may name host paths.
fn fault_text(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    match serde_json::from_slice::<Fault>(body) {
        Ok(fault) => format!("podman answered {status}: {}", fault.message),
        Err(_) => format!("podman answered {status}"),
    }
}

fn found(container: podman_api::models::ListContainer) -> Option<Found> {
    let labels: Labels = container.labels.unwrap_or_default().into_iter().collect();
    let sandbox = SandboxId::new(labels.get(label::SANDBOX)?.clone()).ok()?;
    Some(Found {
        sandbox,
        engine_id: container.id?,
        running: container.state.as_deref() == Some("running"),
        image: container.image.unwrap_or_default(),
        created_at: container.created.map_or(0, |created| created.timestamp()),
        labels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_podman_that_falls_silent_holds_nobody_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        // It accepts, because the kernel does, and never says a word.
        let socket = folder.path().join("sock");
        let _silent = tokio::net::UnixListener::bind(&socket).unwrap();
        let api = Api::new(&socket);
        let image = ImageRef::new("x").unwrap();
        let ended: Vec<(&str, Result<(), EngineError>)> = vec![
            ("info", api.info().await.map(drop)),
            ("ping", api.ping().await),
            ("image", api.image(&image).await.map(drop)),
            ("list", api.list("a", "b").await.map(drop)),
            ("process", api.process("c").await.map(drop)),
            ("start", api.start("c").await),
            ("kill", api.kill("c").await),
            ("remove", api.remove("c").await),
            ("create_pod", api.create_pod("p", &Labels::new()).await),
            ("remove_pod", api.remove_pod("p").await),
        ];
        for (call, ended) in ended {
            assert!(matches!(ended, Err(EngineError::Slow { .. })), "{call}: {ended:?}");
        }
    }
}
