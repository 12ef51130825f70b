//! Jobs over HTTP: at once, or submitted, watched and fetched.

use crate::{
    events,
    problem::{Answer, ApiError, full, json, problem},
    request::{self, Query},
    server::Front,
};
use contracts::{
    JobId, TaskId,
    event::Position,
    job::{JobRequest, JobState, StopRequest},
};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{HeaderValue, LOCATION},
};
use jobs::{Ended, JobQuery};
use std::time::Duration;

/// Jobs on one page of a list, unless asked otherwise, and at most.
const PAGE: usize = 100;
const MOST: usize = 1000;

pub(super) async fn run(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let job: JobRequest = request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(match front.node.run(job).await? {
        Ended::Result(result) => json(StatusCode::OK, &result),
        Ended::Problem(fault) => problem(&fault),
    })
}

pub(super) async fn submit(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let job: JobRequest = request::json(request, front.config.listen.max_body_bytes).await?;
    let location = format!("/v1/worker/jobs/{}", job.job_id);
    let view = front.node.submit(job).await?;
    let mut answer = json(StatusCode::ACCEPTED, &view);
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

pub(super) async fn list(front: &Front, request: &Request<Incoming>) -> Result<Answer, ApiError> {
    let query = Query::of(request, &["status", "task_id", "limit", "page_token"])?;
    let state = match query.get("status") {
        None => None,
        Some("queued") => Some(JobState::Queued),
        Some("running") => Some(JobState::Running),
        Some("ended") => Some(JobState::Ended),
        Some(_) => {
            let known = "status: must be queued, running or ended".to_owned();
            return Err(ApiError::Malformed(known));
        }
    };
    let task_id = query.get("task_id").map(TaskId::new).transpose();
    let task_id = task_id.map_err(|error| ApiError::Malformed(format!("task_id {error}")))?;
    let limit = query.parsed::<usize>("limit")?.unwrap_or(PAGE).clamp(1, MOST);
    let page_token = query.get("page_token").map(str::to_owned);
    let jobs = front.node.jobs(JobQuery { state, task_id, limit, page_token }).await?;
    Ok(json(StatusCode::OK, &jobs))
}

pub(super) async fn get(front: &Front, id: JobId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.job(&id).await?))
}

pub(super) async fn events(
    front: &Front,
    id: JobId,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let query = Query::of(request, &["after"])?;
    let header = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let after = match header.or_else(|| query.get("after")) {
        None => Position::default(),
        Some(text) => {
            text.parse().map_err(|error| ApiError::Malformed(format!("Last-Event-ID: {error}")))?
        }
    };
    let events = front.node.events(&id, after).await?;
    let heartbeat = Duration::from_secs(front.config.listen.heartbeat_seconds.max(1));
    Ok(events::stream(events, heartbeat))
}

pub(super) async fn stdin(
    front: &Front,
    id: JobId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let close = Query::of(&request, &["close"])?.parsed("close")?.unwrap_or(false);
    let data = request::body(request, front.config.listen.max_body_bytes).await?;
    front.node.stdin(&id, data.to_vec(), close).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}

pub(super) async fn stop(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let stop: StopRequest = request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(json(StatusCode::OK, &front.node.stop(stop.task_id, stop.job_id).await?))
}

pub(super) async fn cancel(front: &Front, id: JobId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.cancel(&id).await?))
}

pub(super) async fn stop_all(front: &Front) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.stop_all().await?))
}

pub(super) async fn artifacts(front: &Front, id: JobId) -> Result<Answer, ApiError> {
    Ok(full(StatusCode::OK, "application/x-tar", front.node.artifacts(&id).await?))
}

pub(super) async fn artifact(front: &Front, id: JobId, path: &str) -> Result<Answer, ApiError> {
    // Never a type that a browser would run: the bytes are an untrusted program's.
    Ok(full(StatusCode::OK, "application/octet-stream", front.node.artifact(&id, path).await?))
}

pub(super) async fn upload(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let tar = request::body(request, front.config.listen.max_upload_bytes).await?;
    Ok(json(StatusCode::CREATED, &front.node.upload(tar.to_vec()).await?))
}
