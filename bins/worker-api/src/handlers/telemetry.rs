//! What the node tells about itself: facts read when asked, nothing made up.

use crate::{
    problem::{Answer, ApiError, json},
    request::Query,
    server::Front,
};
use contracts::{
    Version,
    sandbox::label,
    telemetry::{
        Build, ContainerList, ContainerResponse, ContainerRuntime, ContainerView, Cpu, Disk,
        LimitedBy, LogEvent, LogList, LogTruncated, Memory, NodeInfo, NodeStats, Platform,
    },
};
use executor::Found;
use hyper::{Request, StatusCode, body::Incoming};
use jobs::Owned;
use std::{collections::HashMap, fs};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Bytes of log lines in one answer.
const MAX_LOG_BYTES: u64 = 1 << 20;

pub(super) fn info(front: &Front) -> Result<Answer, ApiError> {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let info = NodeInfo {
        version: Version,
        node_slug: front.config.listen.node_slug.clone(),
        build: Build { build_version: env!("CARGO_PKG_VERSION").to_owned() },
        platform: Platform {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            kernel_version: kernel,
        },
    };
    Ok(json(StatusCode::OK, &info))
}

pub(super) async fn stats(front: &Front) -> Result<Answer, ApiError> {
    let stats = tokio::task::block_in_place(|| NodeStats {
        version: Version,
        captured_at: OffsetDateTime::now_utc(),
        cpu: cpu(),
        memory: memory(),
        disk: disk(front),
        container_runtime: ContainerRuntime {
            runtime: front.node.engine().kind().name().to_owned(),
            version: front.node.engine().version(),
        },
    });
    Ok(json(StatusCode::OK, &stats))
}

fn cpu() -> Cpu {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut loads = text.split_whitespace().map(|load| load.parse().unwrap_or(0.0));
    let mut next = || loads.next().unwrap_or(0.0);
    Cpu { cores, load1: next(), load5: next(), load15: next() }
}

fn memory() -> Memory {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: HashMap<&str, u64> = text
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            Some((name, rest.split_whitespace().next()?.parse().ok()?))
        })
        .collect();
    let mb = |name| kib.get(name).copied().unwrap_or(0) / 1024;
    let (total_mb, free_mb) = (mb("MemTotal"), mb("MemAvailable"));
    Memory { total_mb, used_mb: total_mb.saturating_sub(free_mb), free_mb }
}

fn disk(front: &Front) -> Disk {
    let stat = rustix::fs::statvfs(&front.config.state.state_dir);
    let mb = |blocks: u64, size: u64| blocks.saturating_mul(size) >> 20;
    stat.map_or(Disk { state_dir_free_mb: 0, state_dir_total_mb: 0 }, |stat| Disk {
        state_dir_free_mb: mb(stat.f_bavail, stat.f_frsize),
        state_dir_total_mb: mb(stat.f_blocks, stat.f_frsize),
    })
}

pub(super) async fn containers(
    front: &Front,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let known = ["kind", "status", "task_id", "job_id", "limit", "page_token"];
    let query = Query::of(request, &known)?;
    let limit = query.parsed::<usize>("limit")?.unwrap_or(100).clamp(1, 1000);
    let after = query.get("page_token").unwrap_or_default();
    let wanted = |view: &ContainerView| {
        let is = |name: &str, value: Option<&str>| {
            query.get(name).is_none_or(|asked| Some(asked) == value)
        };
        is("kind", Some(&view.kind))
            && is("status", Some(&view.status))
            && is("task_id", view.task_id.as_deref())
            && is("job_id", view.job_id.as_deref())
            && view.container_id.as_str() > after
    };
    let mut containers: Vec<_> = views(front).await?.into_iter().filter(wanted).collect();
    // By id, so that a page goes on after the last one whatever came and went.
    containers.sort_by(|a, b| a.container_id.cmp(&b.container_id));
    let more = containers.len() > limit;
    containers.truncate(limit);
    let last = containers.last().filter(|_| more);
    let next_page_token = last.map(|view| view.container_id.clone());
    Ok(json(StatusCode::OK, &ContainerList { version: Version, containers, next_page_token }))
}

pub(super) async fn container(front: &Front, id: &str) -> Result<Answer, ApiError> {
    let found = views(front).await?.into_iter().find(|view| view.container_id == id);
    let container = found.ok_or(jobs::JobError::NotFound("container"))?;
    Ok(json(StatusCode::OK, &ContainerResponse { version: Version, container }))
}

async fn views(front: &Front) -> Result<Vec<ContainerView>, ApiError> {
    let runtime = front.node.engine().kind().name();
    let mut containers = front.node.containers().await?;
    // What remains of a sandbox without a container is no container.
    containers.retain(|(found, _)| !found.engine_id.is_empty());
    Ok(containers.into_iter().map(|(found, owned)| view(found, owned, runtime)).collect())
}

fn view(found: Found, owned: Option<Owned>, runtime: &str) -> ContainerView {
    // The labels were fixed at the creation; who owns it now is the node's to say.
    let (task_id, job_id) = match owned {
        Some(Owned::Job(task, job)) => (Some(task.to_string()), Some(job.to_string())),
        Some(Owned::Session(task, _)) => (Some(task.to_string()), None),
        _ => (found.labels.get(label::TASK_ID).cloned(), found.labels.get(label::JOB_ID).cloned()),
    };
    let created_at = OffsetDateTime::from_unix_timestamp(found.created_at);
    ContainerView {
        container_id: found.engine_id,
        container_name: format!("pinfold-{}", found.sandbox),
        kind: "sandbox".to_owned(),
        runtime: runtime.to_owned(),
        image_ref: found.image,
        created_at: created_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        last_seen_at: OffsetDateTime::now_utc(),
        status: if found.running { "running" } else { "exited" }.to_owned(),
        exit_code: None,
        task_id,
        job_id,
        labels: found.labels,
    }
}

pub(super) fn logs(front: &Front, request: &Request<Incoming>) -> Result<Answer, ApiError> {
    let known = [
        "source_kind",
        "source_name",
        "container_id",
        "stream",
        "since",
        "until",
        "limit",
        "page_token",
    ];
    let query = Query::of(request, &known)?;
    match (query.get("source_kind"), query.get("source_name"), query.get("container_id")) {
        (Some("service"), Some(_), None) => {}
        // Output of a sandbox goes to its caller and is never logged: there is nothing to read.
        (Some("container"), None, Some(_)) => return Ok(json(StatusCode::OK, &no_logs())),
        _ => {
            let wanted = "needs source_kind=service and source_name, or source_kind=container and container_id";
            return Err(ApiError::Malformed(wanted.to_owned()));
        }
    }
    let moment = |name: &str| {
        let parse = |text| OffsetDateTime::parse(text, &Rfc3339);
        let parsed = query.get(name).map(parse).transpose();
        parsed.map_err(|_| ApiError::Malformed(format!("{name}: must be an RFC 3339 time")))
    };
    let (since, until) = (moment("since")?, moment("until")?);
    let limit = query.parsed::<usize>("limit")?.unwrap_or(1000).clamp(1, 5000);
    let from = query.parsed::<u64>("page_token")?.unwrap_or(0);
    let source = query.get("source_name");
    let (found, next) = front.log.read(from, limit, |line| {
        source == Some(line.source_name.as_str())
            && since.is_none_or(|since| line.occurred_at >= since)
            && until.is_none_or(|until| line.occurred_at < until)
    });
    Ok(json(StatusCode::OK, &log_page(found, next)))
}

/// As many lines as fit, and the number of the first that does not.
fn log_page(found: Vec<(u64, LogEvent)>, mut next: Option<u64>) -> LogList {
    let mut limited_by = if next.is_some() { LimitedBy::Count } else { LimitedBy::None };
    let mut events = Vec::new();
    let mut bytes = 0;
    for (number, line) in found {
        bytes += serde_json::to_vec(&line).map_or(0, |text| text.len() as u64);
        // One that is alone too large is told all the same, or nobody would get past it.
        if bytes > MAX_LOG_BYTES && !events.is_empty() {
            limited_by = LimitedBy::Bytes;
            next = Some(number);
            break;
        }
        events.push(line);
    }
    let truncated = LogTruncated { limited_by, max_bytes: MAX_LOG_BYTES };
    let next_page_token = next.map(|next| next.to_string());
    LogList { version: Version, events, truncated, next_page_token }
}

fn no_logs() -> LogList {
    let truncated = LogTruncated { limited_by: LimitedBy::None, max_bytes: MAX_LOG_BYTES };
    LogList { version: Version, events: Vec::new(), truncated, next_page_token: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_long_lines_goes_on_with_the_first_that_is_missing() {
        let line = || LogEvent {
            occurred_at: OffsetDateTime::UNIX_EPOCH,
            source_kind: "service".to_owned(),
            source_name: "worker-api".to_owned(),
            level: "info".to_owned(),
            message: "x".repeat(4000),
            fields: Default::default(),
        };
        // Every other line is wanted, and the first ones are forgotten.
        let numbered = |count: u64| (0..count).map(|n| (10_000 + 2 * n, line())).collect();
        let page = log_page(numbered(1000), None);
        assert_eq!(page.truncated.limited_by, LimitedBy::Bytes);
        let expected = 10_000 + 2 * page.events.len() as u64;
        assert_eq!(page.next_page_token, Some(expected.to_string()));
        assert_eq!(log_page(numbered(10), None).next_page_token, None);
    }
}
