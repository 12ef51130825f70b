//! A node of one scenario: a real worker-api process with its own state, on the shared Podman.

use crate::http::Caller;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

pub(crate) const TOKEN: &str = "a-token-for-features";
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-for-features";

#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    _reader: tokio::task::JoinSet<()>,
    pub(crate) caller: Caller,
    /// What it said before it listened.
    pub(crate) first_words: Vec<String>,
}

pub(crate) fn binaries() -> PathBuf {
    let folder = std::env::var_os("PINFOLD_BIN_DIR");
    folder
        .expect("PINFOLD_BIN_DIR names the folder with the programs; `just features` sets it")
        .into()
}

impl Node {
    /// The program that a node on this folder is.
    pub(crate) fn program(folder: &Path, settings: &[(String, String)]) -> Command {
        let mut program = Command::new(binaries().join("worker-api"));
        program
            .env_clear()
            .envs(std::env::var("CONTAINER_HOST").map(|host| ("CONTAINER_HOST", host)))
            .env("PATH", "/usr/bin:/bin")
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("WORKER_API_BEARER_TOKEN", TOKEN)
            .env("WORKER_API_STATE_DIR", folder.join("state"))
            .env("WORKSPACE_ROOT", folder.join("workspaces"))
            .env("AGENT_PATH", binaries().join("sandbox-agent"))
            .env("TERM_GRACE_MS", "300")
            .env("STOP_GRACE_SECONDS", "1")
            .env("FLOOD_BYTES", "16777216")
            .env("HEARTBEAT_SECONDS", "1")
            .env("SWEEP_SECONDS", "2")
            .env("DRAIN_SECONDS", "0")
            .env("POOL_MAX", "0")
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        program
    }

    /// Starts a node on a folder; a second one on the same folder is its next life.
    pub(crate) async fn start(mut program: Command, folder: &Path) -> Self {
        let mut child = program.spawn().expect("worker-api starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = Vec::new();
        let address = loop {
            let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
            let line = line.expect("worker-api says something").expect("its log is text");
            let Some(line) = line else { panic!("worker-api ended: {seen:#?}") };
            let address = line.split_once("address=").and_then(|(_, rest)| rest.split(' ').next());
            match address {
                Some(address) if line.contains("worker-api listens") => {
                    break address.parse().expect("an address");
                }
                _ => seen.push(line),
            }
        };
        // Its log must be read, or it would block once the pipe is full.
        let log = folder.join("node.log");
        let mut reader = tokio::task::JoinSet::new();
        reader.spawn(async move {
            let mut text = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                text += &line;
                text.push('\n');
                // For a person who looks into a failed scenario; nothing else reads it.
                let _unwritten = tokio::fs::write(&log, &text).await;
            }
        });
        let caller = Caller { address, token: Some(TOKEN.to_owned()) };
        Self { child, _reader: reader, caller, first_words: seen }
    }

    /// Memory that it holds now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id().expect("it runs"));
        let pages = std::fs::read_to_string(path).expect("it runs");
        let pages = pages.split(' ').nth(1).expect("resident pages");
        pages.parse::<u64>().expect("a number") * 4096
    }

    /// As the kernel would when it runs out of memory: no warning, no last words.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("the node can be killed");
    }

    /// As an operator would.
    pub(crate) async fn stop(mut self) {
        if let Some(pid) =
            self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32))
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        let status = ended.expect("the node drains").expect("waited for");
        assert!(status.success(), "the node ended with {status}");
    }
}
