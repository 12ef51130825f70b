//! The program with a state of its own, and no sandboxes.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinSet};

pub(crate) const WORKER: &str = "token-of-the-worker";
pub(crate) const ADMIN: &str = "token-of-the-admin";

/// A user that owns nothing.
const NOBODY: u32 = 65534;

pub(crate) struct Node {
    child: Child,
    lines: BufReader<ChildStderr>,
    seen: String,
    address: SocketAddr,
    folder: TempDir,
}

/// What a node leaves behind.
pub(crate) struct Ended {
    pub(crate) log: String,
    pub(crate) folder: TempDir,
}

impl Node {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_on(folder, settings).await.unwrap_or_else(|ended| panic!("{}", ended.log))
    }

    /// On a folder that may have a past; what it left behind if it does not come up.
    pub(crate) async fn start_on(
        folder: TempDir,
        settings: &[(&str, &str)],
    ) -> Result<Self, Ended> {
        let program = env!("CARGO_BIN_EXE_worker-api");
        Self::launch(Command::new(program), folder, settings).await
    }

    /// As a user without rights, who may leave cores as large as this machine lets anybody.
    pub(crate) async fn start_for_a_crash(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("worker-api");
        std::fs::copy(env!("CARGO_BIN_EXE_worker-api"), &program).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -c $(ulimit -H -c) && exec \"$0\""]).arg(&program);
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(folder.path());
        let started = Self::launch(command, folder, settings).await;
        started.unwrap_or_else(|ended| panic!("{}", ended.log))
    }

    async fn launch(
        mut command: Command,
        folder: TempDir,
        settings: &[(&str, &str)],
    ) -> Result<Self, Ended> {
        let mut child = command
            .env_clear()
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("CONTAINER_RUNTIME", "direct")
            // Never run here: there are no jobs, and nothing is asked of the kernel.
            .env("AGENT_PATH", "/bin/true")
            .env("LANDLOCK", "off")
            .env("WORKER_API_BEARER_TOKEN", WORKER)
            .env("WORKER_API_STATE_DIR", folder.path().join("state"))
            .env("WORKSPACE_ROOT", folder.path().join("workspaces"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while lines.read_line(&mut seen).unwrap() > 0 {
            let line = seen.lines().last().unwrap_or_default();
            let address = line.split_once("address=").and_then(|(_, rest)| rest.split(' ').next());
            if let Some(address) = address.filter(|_| line.contains("worker-api listens")) {
                let address = address.parse().unwrap();
                return Ok(Self { child, lines, seen, address, folder });
            }
        }
        child.wait().unwrap();
        Err(Ended { log: seen, folder })
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "node");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// What the kernel tells of it.
    pub(crate) fn told(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    /// As a fault of its own would end it.
    pub(crate) fn crash(mut self) -> (ExitStatus, Ended) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::ABORT).unwrap();
        while self.lines.read_line(&mut self.seen).unwrap() > 0 {}
        let status = self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (status, Ended { log: std::mem::take(&mut self.seen), folder })
    }

    /// As an operator would.
    pub(crate) async fn stop(mut self) -> Ended {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        while self.lines.read_line(&mut self.seen).unwrap() > 0 {}
        assert!(self.child.wait().unwrap().success(), "{}", self.seen);
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Ended { log: std::mem::take(&mut self.seen), folder }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended, or its test has failed.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Ended {
    /// Everything that the node keeps.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("state"))
    }

    /// Everything in the folder that it ran in, itself left out.
    pub(crate) fn left(&self) -> Vec<PathBuf> {
        let mut left = files(self.folder.path());
        left.retain(|path| !path.ends_with("worker-api"));
        left
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap();
    let files: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
    files.into_iter().filter(|path| path.is_file()).collect()
}
