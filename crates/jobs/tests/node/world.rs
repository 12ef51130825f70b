//! A node on a scripted engine and a real store, in a folder of its own.

use contracts::{
    ImageRef, JobId, SessionId, TaskId, Version,
    job::{JobRequest, JobResult},
    limits::Limits,
    sandbox::SandboxSpec,
    session::SessionRequest,
};
use executor::{
    Engine,
    fake::{FakeEngine, Program},
};
use jobs::{Ended, JobError, Node, NodeConfig, PoolConfig};
use std::{sync::Arc, time::Duration};
use store::{Kept, Store};

pub(crate) struct World {
    pub(crate) engine: Arc<FakeEngine>,
    folder: tempfile::TempDir,
    pub(crate) config: NodeConfig,
}

impl World {
    pub(crate) fn new(engine: FakeEngine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = NodeConfig {
            gate: None,
            egress: jobs::EgressConfig::default(),
            default_image: ImageRef::new("base").unwrap(),
            default_timeout: Duration::from_secs(60),
            max_timeout: Duration::from_secs(120),
            default_limits: Limits::DEFAULT,
            max_limits: Limits::MAXIMUM,
            max_running: 2,
            max_queued: 2,
            term_grace: Duration::from_millis(20),
            stop_grace: Duration::from_millis(20),
            flood_bytes: 1 << 20,
            retention: Duration::from_secs(3600),
            retention_most: Kept { count: 100, bytes: 1 << 30 },
            artifact_max_files: 10,
            artifact_max_bytes: 1 << 20,
            min_free_bytes: 0,
            upload_max_bytes: 1 << 20,
            upload_keep: Duration::from_secs(60),
            session_max: 4,
            session_idle: Duration::from_secs(60),
            session_images: Default::default(),
            cell_timeout: Duration::from_secs(60),
            session_lifetime: Duration::from_secs(60),
            session_freeze_after: None,
            pool: PoolConfig::off(),
            sweep_every: Duration::from_secs(3600),
            state_dir: folder.path().to_owned(),
        };
        Self { engine: Arc::new(engine), folder, config }
    }

    pub(crate) async fn node(&self) -> Node {
        let store = Store::open(self.folder.path()).unwrap();
        let engine: Arc<dyn Engine> = Arc::clone(&self.engine) as _;
        Node::start(self.config.clone(), engine, store).await.unwrap()
    }

    /// Waits for something that the node does in its own time.
    pub(crate) async fn until(&self, mut holds: impl FnMut() -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(5), async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("the condition never held");
    }
}

pub(crate) fn job(id: &str, command: &[&str]) -> JobRequest {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    JobRequest {
        version: Version,
        task_id: TaskId::new("t").unwrap(),
        job_id: JobId::new(id).unwrap(),
        sandbox: SandboxSpec { command, ..Default::default() },
    }
}

pub(crate) fn session(id: &str) -> SessionRequest {
    SessionRequest {
        version: Version,
        task_id: TaskId::new("t").unwrap(),
        session_id: SessionId::new(id).unwrap(),
        sandbox: SandboxSpec::default(),
        lifetime_seconds: None,
        idle_seconds: None,
        background: false,
        lang: None,
    }
}

pub(crate) fn result(ended: Result<Ended, JobError>) -> JobResult {
    match ended {
        Ok(Ended::Result(result)) => *result,
        other => panic!("expected a result, got {other:?}"),
    }
}

pub(crate) fn sleeping() -> FakeEngine {
    FakeEngine::new(|command| match command.argv[0].as_str() {
        "sleep" => Program::runs_for(Duration::from_secs(600)),
        "stubborn" => Program { ignores_term: true, ..Program::runs_for(Duration::from_secs(600)) },
        _ => Program::prints(&command.argv.join(" ")),
    })
}
