//! What stands between client and upstream: nothing, our proxy, nginx, or a copier.

use crate::usage;
use anyhow::{Context, bail, ensure};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const QUESTION: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Where a hop finds the upstream.
pub(crate) enum Behind {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub(crate) struct Hop {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    process: Option<Process>,
    /// Until the first good answer to `/healthz`, for a process.
    pub(crate) healthy: Duration,
}

impl Hop {
    pub(crate) fn direct(upstream: SocketAddr) -> Self {
        Self::thread("direct", upstream)
    }

    /// What this program itself listens with.
    pub(crate) fn thread(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, process: None, healthy: Duration::ZERO }
    }

    /// The program as its image has it, from beside this one.
    pub(crate) fn proxy(program: &Path, upstream: &Behind) -> anyhow::Result<Self> {
        let address = free_address()?;
        let (name, url) = match upstream {
            Behind::Tcp(upstream) => ("inference-proxy", format!("http://{upstream}")),
            Behind::Unix(socket) => {
                ("inference-proxy, unix socket behind", format!("unix://{}", socket.display()))
            }
        };
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("INFERENCE_PROXY_LISTEN", address.to_string())
            .env("INFERENCE_PROXY_MAX_CONNECTIONS", "1024")
            .env("OLLAMA_UPSTREAM_URL", url)
            .env("LOG_LEVEL", "warn");
        Self::spawn(name, &mut command, address, None)
    }

    pub(crate) fn nginx(upstream: &Behind) -> anyhow::Result<Self> {
        let address = free_address()?;
        let (name, upstream) = match upstream {
            Behind::Tcp(upstream) => ("nginx", upstream.to_string()),
            Behind::Unix(socket) => {
                ("nginx, unix socket behind", format!("unix:{}", socket.display()))
            }
        };
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("nginx.conf");
        fs::write(&file, nginx_conf(folder.path(), address, &upstream))?;
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(&file);
        Self::spawn(name, &mut command, address, Some(folder))
            .context("nginx, which deploy/setup.sh --extras installs")
    }

    fn spawn(
        name: &'static str,
        command: &mut Command,
        address: SocketAddr,
        folder: Option<tempfile::TempDir>,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).spawn()?;
        let mut process = Process { child, _folder: folder };
        while !is_well(address) {
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended with {status}");
            }
            ensure!(began.elapsed() < Duration::from_secs(10), "{name} does not get well");
            sleep(Duration::from_micros(100));
        }
        Ok(Self { name, address, process: Some(process), healthy: began.elapsed() })
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.as_ref().map_or(Ok(0.0), |process| Ok(usage::of(process.child.id())?.0))
    }

    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.process.as_ref().map_or(Ok(0), |process| usage::resident(process.child.id()))
    }
}

struct Process {
    child: Child,
    /// Its configuration, which goes with it.
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("a proxy could not be stopped: {error}");
        }
    }
}

/// One that was free a moment ago: a program that chose its own would have to be asked.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn is_well(address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(QUESTION)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    asked().unwrap_or(false)
}

/// One process for all, as our proxy is one: what it does not need to do, it is not asked to do.
fn nginx_conf(folder: &Path, address: SocketAddr, upstream: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 10m;
    upstream model {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=1024;
        location = /healthz {{ return 200 ok; }}
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
