//! Running a job and following it: its output comes through as the program wrote it, its end
//! becomes ours.

use super::jobs::encoded;
use crate::{
    cli::Run,
    client::{Client, Refused},
    out,
    patience::Patience,
    sse::{Event, Parser},
};
use anyhow::{Context, bail};
use base64::Engine as _;
use contracts::{
    JobId, TaskId, Version,
    event::{OutputChunk, name},
    file::{InputFile, check_path},
    inference::InferenceSpec,
    job::{JobRequest, JobResult, JobView, Outcome, Reason, Status},
    limits::LimitsRequest,
    sandbox::{NetworkPolicy, SandboxSpec},
};
use http_body_util::BodyExt;
use hyper::Method;
use std::{io::Write, path::Path, process::ExitCode};
use tokio::io::AsyncReadExt;

/// As shells say it: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

pub(crate) async fn run(client: &Client, options: Run) -> anyhow::Result<ExitCode> {
    let request = request(&options)?;
    let job_id = request.job_id.to_string();
    let _: JobView = client.post("/v1/worker/jobs", &request).await?;
    if options.detach {
        out::line(job_id)?;
        return Ok(ExitCode::SUCCESS);
    }
    let show = !options.json;
    let view = tokio::select! {
        view = follow_to_end(client, &job_id, show) => view?,
        never = feed_stdin(client, &job_id, options.stdin) => never?,
        left = interrupts(client, &job_id) => return left,
    };
    if let (Some(folder), Some(result)) = (&options.out, &view.result) {
        fetch_artifacts(client, result, folder).await?;
    }
    if options.json
        && let Some(result) = &view.result
    {
        out::line(serde_json::to_string(result)?)?;
    }
    end(view, show)
}

pub(crate) async fn follow(client: &Client, job_id: &str) -> anyhow::Result<ExitCode> {
    end(follow_to_end(client, job_id, true).await?, true)
}

fn request(options: &Run) -> anyhow::Result<JobRequest> {
    let job_id = match &options.job_id {
        Some(id) => id.clone(),
        None => draw_id()?,
    };
    let files = options.files.iter().map(|file| input_file(file)).collect::<Result<_, _>>()?;
    let limits = LimitsRequest {
        memory_bytes: options.memory,
        cpus: options.cpus,
        pids: options.pids,
        workspace_bytes: options.workspace_size,
        tmp_bytes: options.tmp_size,
        ..LimitsRequest::default()
    };
    Ok(JobRequest {
        version: Version,
        task_id: TaskId::new(&*options.task_id).context("--task-id")?,
        job_id: JobId::new(job_id).context("--job-id")?,
        sandbox: SandboxSpec {
            image: Some(options.image.clone()),
            command: options.command.clone(),
            env: options.env.iter().cloned().collect(),
            timeout_seconds: options.timeout,
            network_policy: match options.allow.is_empty() && options.egress_policy.is_none() {
                true => NetworkPolicy::None,
                false => NetworkPolicy::Restricted,
            },
            egress: options.allow.clone(),
            egress_policy: options.egress_policy.clone(),
            use_inference: options.inference,
            inference: (!options.models.is_empty()).then(|| InferenceSpec {
                models: Some(options.models.clone()),
                ..InferenceSpec::default()
            }),
            limits,
            stdin_open: options.stdin,
            files,
            artifacts: options.artifacts.clone(),
            ..SandboxSpec::default()
        },
    })
}

fn draw_id() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("run-{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

pub(super) fn input_file(argument: &str) -> anyhow::Result<InputFile> {
    let (source, name) = match argument.rsplit_once(':') {
        Some((source, name)) => (source, name.to_owned()),
        None => {
            let name = Path::new(argument).file_name().context("--file names no file")?;
            (argument, name.to_string_lossy().into_owned())
        }
    };
    let data = std::fs::read(source).with_context(|| format!("can't read {source}"))?;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(source)?);
    let content_base64 = Some(contracts::file::base64(&data));
    Ok(InputFile { path: name, content: None, content_base64, executable: mode & 0o111 != 0 })
}

/// Follows the events to the last one, taking a broken stream up where it broke.
async fn follow_to_end(client: &Client, job_id: &str, show: bool) -> anyhow::Result<JobView> {
    let path = format!("/v1/worker/jobs/{}/events", encoded(job_id));
    let mut last_id = String::from("0-0");
    let mut patience = Patience::default();
    loop {
        let before = last_id.clone();
        let followed = follow_once(client, &path, &mut last_id, show).await;
        if let Some(view) = patience.judge(last_id != before, followed).await? {
            return Ok(view);
        }
    }
}

async fn follow_once(
    client: &Client,
    path: &str,
    last_id: &mut String,
    show: bool,
) -> anyhow::Result<Option<JobView>> {
    let after = [("last-event-id", last_id.clone())];
    let mut answer = client.stream(path, &after).await?;
    let mut parser = Parser::default();
    while let Some(frame) = answer.response.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        for event in parser.feed(&data)? {
            if event.name == name::END {
                return Ok(Some(serde_json::from_str(&event.data)?));
            }
            if show {
                print(&event)?;
            }
            *last_id = event.id;
        }
    }
    Ok(None)
}

fn print(event: &Event) -> anyhow::Result<()> {
    let to: &mut dyn Write = match event.name.as_str() {
        name::STDOUT => &mut std::io::stdout().lock(),
        name::STDERR => &mut std::io::stderr().lock(),
        _ => return Ok(()),
    };
    let chunk: OutputChunk = serde_json::from_str(&event.data)?;
    let bytes = match (chunk.text, chunk.base64) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text)?,
        (None, None) => return Ok(()),
    };
    match to.write_all(&bytes).and_then(|()| to.flush()) {
        // Who reads us has seen enough, as in `pinfold run … | head -1`.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Hands our standard input on; ends only with an error.
async fn feed_stdin(client: &Client, job_id: &str, wanted: bool) -> anyhow::Result<JobView> {
    if !wanted {
        return std::future::pending().await;
    }
    let path = format!("/v1/worker/jobs/{}/stdin", encoded(job_id));
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stdin.read(&mut buffer).await.context("standard input")?;
        let (path, data) = match count {
            0 => (format!("{path}?close=true"), Vec::new()),
            _ => (path.clone(), buffer[..count].to_vec()),
        };
        let sent = client.bytes(Method::POST, &path, data.into()).await;
        match sent {
            // The job may have ended without reading all of it; its events tell.
            Err(error) if error.is::<Refused>() => return std::future::pending().await,
            Err(error) => return Err(error),
            Ok(_) if count == 0 => return std::future::pending().await,
            Ok(_) => {}
        }
    }
}

/// The first interrupt stops the job, whose last words are still shown; the second leaves it at once.
async fn interrupts(client: &Client, job_id: &str) -> anyhow::Result<ExitCode> {
    tokio::signal::ctrl_c().await?;
    out::note(format_args!("stopping the job; once more to leave it"));
    let path = format!("/v1/worker/jobs/{}/cancel", encoded(job_id));
    let stop = async {
        let _: serde_json::Value = client.post(&path, &serde_json::json!({})).await?;
        // Its end is told by its events.
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        never = stop => never?,
        again = tokio::signal::ctrl_c() => again?,
    }
    Ok(ExitCode::from(INTERRUPTED))
}

async fn fetch_artifacts(client: &Client, result: &JobResult, folder: &Path) -> anyhow::Result<()> {
    let job_id = encoded(result.job_id.as_str());
    for artifact in &result.artifacts {
        // The names are an untrusted program's.
        if let Err(why) = check_path(&artifact.path) {
            bail!("the artifact {:?} {why}", artifact.path);
        }
        let segments: Vec<String> = artifact.path.split('/').map(encoded).collect();
        let path = format!("/v1/worker/jobs/{job_id}/artifacts/{}", segments.join("/"));
        let data = client.bytes(Method::GET, &path, Default::default()).await?;
        let target = folder.join(&artifact.path);
        std::fs::create_dir_all(target.parent().unwrap_or(folder))?;
        // New files only: one that is there, or a link, is not written through.
        let mut file = std::fs::File::create_new(&target)
            .with_context(|| format!("can't make {}", target.display()))?;
        file.write_all(&data)?;
    }
    Ok(())
}

/// The job's end as ours, with one line about anything but an ordinary one.
fn end(view: JobView, show: bool) -> anyhow::Result<ExitCode> {
    let Some(result) = view.result else {
        let problem = view.problem.context("the job ended without result and without problem")?;
        return Err(Refused(problem).into());
    };
    let outcome = result.outcome;
    if show {
        if outcome.truncated.stdout || outcome.truncated.stderr {
            out::note(format_args!(
                "pinfold: the output was cut at {} bytes",
                outcome.limits.output_bytes
            ));
        }
        if outcome.reason != Reason::Exit {
            out::note(format_args!("pinfold: {}", why(&outcome)));
        }
    }
    Ok(ExitCode::from(match outcome.status {
        Status::Timeout => 124,
        Status::Canceled => INTERRUPTED,
        Status::Completed | Status::Failed => outcome.exit_code.unwrap_or(1) as u8,
    }))
}

fn why(outcome: &Outcome) -> String {
    let reason = match outcome.reason {
        Reason::Exit => "the program returned",
        Reason::Signal => "a signal ended the program",
        Reason::NotExecutable => "the command could not be executed",
        Reason::Deadline => "the job reached its time limit",
        Reason::Oom => "the job was killed for memory",
        Reason::OutputLimit => "the job was ended for its flood of output",
        Reason::DiskLimit => "the job's disk space was full",
        Reason::Cancelled => "the job was canceled",
        Reason::KernelDied => "the interpreter died",
    };
    outcome.detail.as_ref().map_or(reason.to_owned(), |detail| format!("{reason}: {detail}"))
}
