//! The program with a state of its own, and no sandboxes.

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinSet};

pub(crate) const WORKER: &str = "token-of-the-worker";
pub(crate) const ADMIN: &str = "token-of-the-admin";

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
        let mut child = Command::new(program)
            .env_clear()
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("CONTAINER_RUNTIME", "direct")
            // Never run here: there are no jobs, and nothing is asked of the kernel.
            .env("AGENT_PATH", program)
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
        let read = std::fs::read_dir(self.folder.path().join("state")).unwrap();
        let files: Vec<_> = read.map(|entry| entry.unwrap().path()).collect();
        files.into_iter().filter(|path| path.is_file()).collect()
    }
}
