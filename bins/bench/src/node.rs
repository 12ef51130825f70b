//! The node that is measured: a real worker-api, with its state in a folder that goes with it.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

pub(crate) const BASE: &str = "localhost/pinfold/base:latest";
pub(crate) const PYTHON: &str = "localhost/pinfold/python:latest";
const TOKEN: &str = "bench";
const ADMIN_TOKEN: &str = "bench-admin";

pub(crate) struct Node {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
    settings: Vec<(String, String)>,
}

impl Node {
    /// A node that keeps so many sandboxes of each image waiting.
    pub(crate) fn start(waiting: &[(&str, usize)]) -> anyhow::Result<Self> {
        let max: usize = waiting.iter().map(|(_, count)| count).sum();
        let shapes: Vec<Value> = waiting
            .iter()
            .map(|(image, count)| json!({"image": image, "min": count, "max": count}))
            .collect();
        let node = Self::start_with(&[
            ("POOL_MAX", max.to_string()),
            ("POOL_MIN", "0".to_owned()),
            ("POOL_SHAPES", json!(shapes).to_string()),
        ])?;
        node.wait_until_full()?;
        Ok(node)
    }

    pub(crate) fn start_with(settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let owned = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
        let settings: Vec<(String, String)> = settings.iter().map(owned).collect();
        let (child, address) = spawn(folder.path(), &settings)?;
        Ok(Self { child, address, folder, settings })
    }

    /// Kills it as the kernel would, and starts its next life; tells when that began.
    pub(crate) fn live_again(&mut self) -> anyhow::Result<Instant> {
        self.child.kill()?;
        self.child.wait()?;
        let began = Instant::now();
        (self.child, self.address) = spawn(self.folder.path(), &self.settings)?;
        Ok(began)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_until_full(&self) -> anyhow::Result<()> {
        let mut client = self.client()?;
        for _ in 0..600 {
            let pool = client.get("/v1/worker/pool")?;
            if pool["making"] == 0 && pool["ready"] == pool["max"] {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the pool never filled: {}", client.get("/v1/worker/pool")?)
    }

    /// Sandboxes that have a folder now.
    pub(crate) fn folders(&self) -> usize {
        self.sandboxes().len()
    }

    /// Their ids, by their folders.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let entries = |path: &std::path::Path| {
            let read = std::fs::read_dir(path).into_iter().flatten().flatten();
            read.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let nodes = entries(&self.folder.path().join("workspaces"));
        let sandboxes = nodes.iter().flat_map(|node| entries(node));
        sandboxes
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect()
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.connect(TOKEN)
    }

    /// Somebody who may configure it.
    pub(crate) fn admin(&self) -> anyhow::Result<Client> {
        self.connect(ADMIN_TOKEN)
    }

    fn connect(&self, token: &'static str) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Client { stream: BufReader::new(stream), token })
    }

    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let status = self.end()?;
        ensure!(status.success(), "worker-api ended with {status}");
        Ok(())
    }

    /// Again is no harm: it has been waited for.
    fn end(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).context("a pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        Ok(self.child.wait()?)
    }
}

/// A process of the node, and where it listens.
fn spawn(folder: &Path, settings: &[(String, String)]) -> anyhow::Result<(Child, SocketAddr)> {
    let here = std::env::current_exe()?;
    let programs = here.parent().context("this program is in a folder")?;
    let mut child = Command::new(programs.join("worker-api"))
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("WORKER_API_BEARER_TOKEN", TOKEN)
        .env("WORKER_API_ADMIN_TOKEN", ADMIN_TOKEN)
        .env("WORKER_API_STATE_DIR", folder.join("state"))
        .env("WORKSPACE_ROOT", folder.join("workspaces"))
        .env("LOG_FORMAT", "text")
        .env("LOG_LEVEL", "worker_api=info,warn")
        .env("MAX_QUEUED", "1000")
        .envs(settings.iter().map(|(name, value)| (name, value)))
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
    Ok((child, address))
}

impl Drop for Node {
    /// After a failed measurement nothing may run on.
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("the node could not be stopped: {error:#}");
        }
    }
}

/// One connection that is kept, as a dispatcher's is.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    token: &'static str,
}

impl Client {
    /// Runs a command as a job and gives the whole answer.
    pub(crate) fn answer(&mut self, job_id: &str, sandbox: &Value) -> anyhow::Result<Value> {
        let body = json!({"version": 1, "task_id": "bench", "job_id": job_id, "sandbox": sandbox});
        self.ask("POST", "/v1/worker/jobs:run", &body.to_string())
    }

    /// Runs a command as a job that has to succeed.
    pub(crate) fn run(
        &mut self,
        image: &str,
        job_id: &str,
        command: &[&str],
    ) -> anyhow::Result<Value> {
        let answer = self.answer(job_id, &json!({"image": image, "command": command}))?;
        ensure!(answer["status"] == "completed", "{answer}");
        Ok(answer)
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask("POST", path, &body.to_string())
    }

    pub(crate) fn put(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask("PUT", path, &body.to_string())
    }

    pub(crate) fn delete(&mut self, path: &str) -> anyhow::Result<Value> {
        self.ask("DELETE", path, "")
    }

    /// Whether the node says that it is.
    pub(crate) fn is_ready(&mut self) -> anyhow::Result<bool> {
        Ok(self.send("GET", "/readyz", "")?.0.contains(" 200 "))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let (_, body) = self.send(method, path, body)?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// The first line of the answer and its body.
    fn send(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut first, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line)? > 0, "the node closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
            first.get_or_insert(line);
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((first.unwrap_or_default(), body))
    }
}
