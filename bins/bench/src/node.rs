//! The node that is measured: a real worker-api, with its state in a folder that goes with it.

use anyhow::{Context, bail};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) const IMAGE: &str = "localhost/pinfold/base:latest";
const TOKEN: &str = "bench";

pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Node {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let here = std::env::current_exe()?;
        let programs = here.parent().context("this program is in a folder")?;
        let mut child = Command::new(programs.join("worker-api"))
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("WORKER_API_BEARER_TOKEN", TOKEN)
            .env("WORKER_API_STATE_DIR", folder.path().join("state"))
            .env("WORKSPACE_ROOT", folder.path().join("workspaces"))
            .env("LOG_FORMAT", "text")
            .env("LOG_LEVEL", "worker_api=info,warn")
            .stderr(Stdio::piped())
            .spawn()
            .context("worker-api, beside this program")?;
        let mut lines = BufReader::new(child.stderr.take().context("piped")?).lines();
        let address = loop {
            let line = lines.next().context("worker-api ended before it listened")??;
            if let Some((_, rest)) = line.split_once("address=") {
                break rest.split(' ').next().unwrap_or_default().parse()?;
            }
        };
        // Nobody may block it by not reading its log.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, folder })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sandboxes that have a folder now.
    pub(crate) fn folders(&self) -> usize {
        let entries = |path: &std::path::Path| {
            let read = std::fs::read_dir(path).into_iter().flatten().flatten();
            read.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let nodes = entries(&self.folder.path().join("workspaces"));
        nodes.iter().map(|node| entries(node).len()).sum()
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).context("a pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "worker-api ended with {status}");
        Ok(())
    }
}

/// One connection that is kept, as a dispatcher's is.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Runs a command as a job and gives what it printed.
    pub(crate) fn run(&mut self, job_id: &str, command: &[&str]) -> anyhow::Result<String> {
        let body = serde_json::json!({
            "version": 1, "task_id": "bench", "job_id": job_id,
            "sandbox": {"image": IMAGE, "command": command},
        })
        .to_string();
        let request = format!(
            "POST /v1/worker/jobs:run HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        let mut status = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status.is_empty() {
                status.clone_from(&line);
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        match answer["stdout"].as_str() {
            Some(stdout) if answer["status"] == "completed" => Ok(stdout.to_owned()),
            _ => bail!("{status}: {answer}"),
        }
    }
}
