//! Checks a host for running sandboxes: from outside, and from inside a real one.

mod floor;
mod host;
mod line;

use crate::out;
use anyhow::Context;
use contracts::{
    ImageRef, SandboxId,
    link::{Command, Stream},
    sandbox::path,
};
use executor::{
    Engine, Exec, ExecEvent, Fencing, Labels, Sandbox, Shape,
    podman::{ImagePolicy, PodmanConfig, PodmanEngine},
};
use line::{Line, Verdict};
use serde_json::Value;
use std::{path::PathBuf, process::ExitCode};

/// A command that says nothing for so long will not say anything.
const PROBE_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorOptions {
    /// Podman's socket, as unix:///….
    #[arg(long, env = "CONTAINER_HOST")]
    container_host: Option<String>,
    /// The static sandbox-agent binary. By default the one beside this program.
    #[arg(long, env = "AGENT_PATH")]
    agent_path: Option<PathBuf>,
    /// The image to look from.
    #[arg(long, default_value = "localhost/pinfold/base:latest")]
    image: ImageRef,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints a line per check. Ends with 0 when all hold, 1 when some are weaker here, 2 when one fails.
pub(crate) async fn run(options: DoctorOptions) -> anyhow::Result<ExitCode> {
    let socket = socket(&options)?;
    let mut lines = host::look(&socket).await;
    match look_inside(&options, socket).await {
        Ok(probe) => lines.extend(floor::judge(&probe)),
        Err(error) => lines.push(Line::fails(
            "a real sandbox starts",
            format!("{error:#}"),
            "mend what is named above; `podman run` must work for the same user",
        )),
    }
    if options.json {
        out::line(serde_json::to_string_pretty(&lines)?)?;
    } else {
        lines.iter().try_for_each(out::line)?;
    }
    let worst = lines.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Holds);
    Ok(ExitCode::from(worst as u8))
}

fn socket(options: &DoctorOptions) -> anyhow::Result<PathBuf> {
    match &options.container_host {
        Some(url) => {
            Ok(url.strip_prefix("unix://").context("CONTAINER_HOST must be unix:///…")?.into())
        }
        None if rustix::process::getuid().is_root() => Ok("/run/podman/podman.sock".into()),
        None => {
            Ok(format!("/run/user/{}/podman/podman.sock", rustix::process::getuid().as_raw())
                .into())
        }
    }
}

/// Boots a sandbox as the node would, and lets the agent's probe look around in it.
async fn look_inside(options: &DoctorOptions, socket: PathBuf) -> anyhow::Result<Value> {
    let folder = Folder::make()?;
    let agent = match &options.agent_path {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("sandbox-agent"),
    };
    let engine = PodmanEngine::open(PodmanConfig {
        proxy: None,
        socket,
        node_id: format!("doctor-{}", std::process::id()),
        agent,
        workspace_root: folder.0.join("workspaces"),
        state_dir: folder.0.clone(),
        images: ImagePolicy::default(),
        fencing: Fencing::default(),
    })
    .await?;
    let image = engine.pin(&options.image).await?;
    let shape = Shape::plain(image);
    let id = SandboxId::new(format!("doctor-{}", std::process::id()))?;
    let sandbox = engine.create(id, &shape, &Labels::new()).await?;
    let probed = tokio::time::timeout(PROBE_LIMIT, probe(&sandbox)).await;
    sandbox.close().await?;
    let text = probed.context("the probe did not end")??;
    serde_json::from_slice(&text).context("the probe's report is not JSON")
}

async fn probe(sandbox: &Sandbox) -> anyhow::Result<Vec<u8>> {
    let command = Command {
        argv: vec![path::AGENT.to_owned(), "probe".to_owned()],
        env: Vec::new(),
        cwd: path::WORKSPACE.to_owned(),
        stdin: false,
        output_bytes: 1 << 20,
        flood_bytes: 1 << 24,
        sole: true,
        backstop_ms: 0,
    };
    let mut exec: Exec = sandbox.start(command).await?;
    let mut text = Vec::new();
    while let Some(event) = exec.next().await {
        match event {
            ExecEvent::Output { stream: Stream::Stdout, data } => text.extend(data),
            ExecEvent::Exited(_) => return Ok(text),
            _ => {}
        }
    }
    anyhow::bail!("the sandbox ended before its probe did")
}

/// A folder of our own for the sandbox's files, removed with this value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("pinfold-doctor-{}", std::process::id()));
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)
            .with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is the worst that can come of it.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
