//! Looking at jobs, and stopping one.

use crate::{cli::JobsQuery, client::Client, out};
use contracts::job::{JobList, JobState, JobView, StopResponse, StopStatus};
use std::process::ExitCode;

pub(crate) async fn list(client: &Client, query: JobsQuery) -> anyhow::Result<ExitCode> {
    let mut path = format!("/v1/worker/jobs?limit={}", query.limit);
    for (name, value) in [("status", query.status), ("task_id", query.task_id)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", encoded(&value));
        }
    }
    let list: JobList = client.get(&path).await?;
    out::line(format_args!("{:<38} {:<10} {:<24} TASK", "JOB", "STATE", "SUBMITTED"))?;
    for job in list.jobs {
        let state = match job.state {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Ended if job.problem.is_some() => "fault",
            JobState::Ended => "ended",
        };
        let submitted = job.submitted_at.replace_nanosecond(0).unwrap_or(job.submitted_at);
        let (id, submitted) = (job.job_id, submitted.to_string());
        out::line(format_args!("{id:<38} {state:<10} {submitted:<24} {}", job.task_id))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn show(client: &Client, job_id: &str) -> anyhow::Result<ExitCode> {
    let view: JobView = client.get(&format!("/v1/worker/jobs/{}", encoded(job_id))).await?;
    out::line(serde_json::to_string_pretty(&view)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn cancel(client: &Client, job_id: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/worker/jobs/{}/cancel", encoded(job_id));
    let stopped: StopResponse = client.post(&path, &serde_json::json!({})).await?;
    out::line(match stopped.status {
        StopStatus::Stopping => "stopping",
        StopStatus::NotRunning => "not running",
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A word as one segment of a path or one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
