//! What one scenario knows: its node, its own ids, the last answers. And what must be gone after it.

use crate::{
    dev_model::DevModel,
    http::Answer,
    kernel,
    node::{ADMIN_TOKEN, Node},
    operator::Operator,
    outside::Outside,
    person::Person,
    real_model::RealModel,
    registries::Registries,
    viewer::Viewer,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) const BASE: &str = "localhost/pinfold/base:latest";
pub(crate) const PYTHON: &str = "localhost/pinfold/python:latest";

#[derive(Debug, cucumber::World)]
#[world(init = Self::new)]
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) node: Option<Node>,
    /// The upstream of its inference; it ends with the world.
    pub(crate) model: Option<DevModel>,
    /// The same, where it is a real server.
    pub(crate) real_model: Option<RealModel>,
    /// A server in the world outside; it ends with the world.
    pub(crate) outside: Option<Outside>,
    /// Registries of packages; they end with the world.
    pub(crate) registries: Option<Registries>,
    pub(crate) settings: Vec<(String, String)>,
    /// Drawn per scenario: the name of everything that it makes.
    pub(crate) task_id: String,
    jobs: usize,
    pub(crate) last_job: Value,
    pub(crate) answers: Vec<Answer>,
    pub(crate) notes: Vec<String>,
    /// How often each job of many prints its id.
    pub(crate) times: usize,
    /// Calls that were made and not waited for.
    /// What a stream that is still open has told so far.
    pub(crate) told: Arc<Mutex<String>>,
    pub(crate) waiting: tokio::task::JoinSet<Answer>,
    /// Sandboxes that waited for somebody.
    pub(crate) waited: Vec<String>,
    /// Names of images that are the scenario's own.
    pub(crate) tags: Vec<String>,
    /// The name of code that may ask for a line.
    pub(crate) asking: String,
    pub(crate) viewer: Viewer,
    /// Somebody at the command line.
    pub(crate) person: Option<Person>,
    /// What the things that were timed took.
    pub(crate) took: Vec<Duration>,
    pub(crate) operator: Operator,
    /// Its node runs nothing on Podman.
    has_no_sandboxes: bool,
    /// For its node's process and what that starts itself, which are no containers.
    pub(crate) kernel_has_no_landlock: bool,
}

impl World {
    fn new() -> Self {
        let mut bytes = [0; 6];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).expect("random");
        let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            node: None,
            model: None,
            real_model: None,
            outside: None,
            registries: None,
            settings: Vec::new(),
            task_id: format!("bdd-{name}"),
            jobs: 0,
            last_job: Value::Null,
            answers: Vec::new(),
            notes: Vec::new(),
            times: 0,
            told: Arc::default(),
            waiting: tokio::task::JoinSet::new(),
            tags: Vec::new(),
            waited: Vec::new(),
            asking: String::new(),
            viewer: Viewer::default(),
            person: None,
            took: Vec::new(),
            operator: Operator::default(),
            has_no_sandboxes: false,
            kernel_has_no_landlock: false,
        }
    }

    pub(crate) async fn start(&mut self) {
        let program = self.program();
        self.node = Some(Node::start(program, self.folder.path()).await);
    }

    /// The node's program, on the kernel that the scenario has.
    pub(crate) fn program(&self) -> tokio::process::Command {
        let mut program = Node::program(self.folder.path(), &self.settings);
        if self.kernel_has_no_landlock {
            kernel::without_landlock(&mut program);
        }
        program
    }

    /// A node whose sandboxes are processes of this host.
    pub(crate) fn without_containers(&mut self) {
        self.has_no_sandboxes = true;
        self.settings.push(("CONTAINER_RUNTIME".to_owned(), "direct".to_owned()));
        // Short, because the path of a sandbox's socket has to fit into its address.
        let root = self.folder.path().join("w").display().to_string();
        self.settings.push(("WORKSPACE_ROOT".to_owned(), root));
    }

    /// A node that is only configured.
    pub(crate) async fn start_for_operators(&mut self) {
        self.has_no_sandboxes = true;
        for (name, value) in
            [("CONTAINER_RUNTIME", "direct"), ("WORKER_API_ADMIN_TOKEN", ADMIN_TOKEN)]
        {
            self.settings.push((name.to_owned(), value.to_owned()));
        }
        self.start().await;
    }

    /// A node with sandboxes, and somebody who may configure it.
    pub(crate) async fn start_with_admin(&mut self) {
        self.settings.push(("WORKER_API_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()));
        self.start().await;
    }

    /// Every file that the node keeps, and its log.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let kept = entries(&self.folder.path().join("state"));
        let log = self.folder.path().join("node.log");
        kept.into_iter().chain([log]).filter(|path| path.is_file()).collect()
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the scenario has a node")
    }

    /// A job of this scenario's, with an id of its own.
    pub(crate) fn job(&mut self, sandbox: Value) -> Value {
        self.jobs += 1;
        let job_id = format!("{}-{}", self.task_id, self.jobs);
        self.last_job =
            json!({"version": 1, "task_id": self.task_id, "job_id": job_id, "sandbox": sandbox});
        self.last_job.clone()
    }

    /// A shell script as a job.
    pub(crate) fn script(&mut self, script: &str, more: Value) -> Value {
        let mut sandbox = json!({"image": BASE, "command": ["sh", "-c", script]});
        let fields = sandbox.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        self.job(sandbox)
    }

    pub(crate) async fn run(&mut self, job: Value) -> Answer {
        let answer = self.node().caller.post("/v1/worker/jobs:run", job.to_string()).await;
        self.answers.push(answer.clone());
        answer
    }

    pub(crate) fn job_id(&self) -> String {
        self.last_job["job_id"].as_str().expect("a job").to_owned()
    }

    pub(crate) fn last(&self) -> &Answer {
        self.answers.last().expect("an answer")
    }

    /// The containers of this scenario's task, running or not.
    pub(crate) async fn containers(&self) -> Vec<String> {
        labelled(&format!("cynodeai.task_id={}", self.task_id)).await
    }

    /// All that this scenario's nodes have made, those that waited for a task included.
    async fn remains(&self) -> Vec<String> {
        let mut all = self.containers().await;
        for node in entries(&self.folder.path().join("workspaces")) {
            let id = node.file_name().expect("a name").to_string_lossy();
            let label = format!("io.pinfold.node={id}");
            all.extend(labelled(&label).await);
            let pods = format!("label={label}");
            let pods = podman(&["pod", "ps", "--quiet", "--no-trunc", "--filter", &pods]).await;
            assert_eq!(pods, "", "pods are left behind");
        }
        all
    }

    /// The folders of sandboxes that are there now.
    pub(crate) fn folders(&self) -> usize {
        // One folder per node, and in it one per sandbox.
        let nodes = entries(&self.folder.path().join("workspaces"));
        nodes.iter().map(|node| entries(node).len()).sum()
    }

    /// Waits for something that happens in its own time.
    pub(crate) async fn until<F>(what: &str, mut holds: impl FnMut() -> F)
    where
        F: Future<Output = bool>,
    {
        for _ in 0..200 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never happened: {what}");
    }

    /// Nothing that a scenario made may outlive it, whether it passed or failed.
    pub(crate) async fn finish(world: Option<&mut Self>) {
        let Some(world) = world else { return };
        if world.has_no_sandboxes {
            if let Some(node) = world.node.take() {
                node.stop().await;
            }
            return;
        }
        if let Some(node) = &world.node {
            node.caller.post("/v1/worker/admin/stop-all-orchestrator-directed", "").await;
        }
        for _ in 0..200 {
            if world.containers().await.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if let Some(node) = world.node.take() {
            node.stop().await;
        }
        for tag in world.tags.drain(..) {
            // Named twice: with one name, it is the image that loses all of its names.
            podman(&["untag", &tag, &tag]).await;
        }
        let (left, folders) = (world.remains().await, world.folders());
        if !left.is_empty() {
            let all: Vec<&str> = left.iter().map(String::as_str).collect();
            podman(&[&["rm", "--force", "--time=0"], &*all].concat()).await;
            panic!("left behind, and removed now: {left:?}");
        }
        assert_eq!(folders, 0, "folders of sandboxes are left behind");
    }
}

async fn labelled(label: &str) -> Vec<String> {
    let filter = format!("label={label}");
    let listed = podman(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).await;
    listed.lines().map(str::to_owned).collect()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(path).into_iter().flatten().flatten();
    read.map(|entry| entry.path()).collect()
}

/// What Podman says to a command that has to succeed.
pub(crate) async fn podman(command: &[&str]) -> String {
    let done = tokio::process::Command::new("podman").args(command).output().await;
    let done = done.expect("podman runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}
