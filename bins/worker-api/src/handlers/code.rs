//! The session server over HTTP: code in sessions, in the words of the API that it stands in for.

use crate::{
    code_events,
    problem::{Answer, ApiError, full, json, problem},
    request::{self, Query},
    server::Front,
};
use contracts::{
    CellId, SessionId,
    code::{CellInput, ExecuteRequest, KernelRequest, OpenRequest},
    session::RenewRequest,
};
use hyper::{
    Request, StatusCode,
    body::Incoming,
    header::{ACCEPT, HeaderMap},
};
use jobs::{CodeEnd, Running};
use serde_json::json;
use std::time::Duration;

pub(super) fn service() -> Answer {
    json(StatusCode::OK, &json!({"status": "ok"}))
}

pub(super) async fn open(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let open: OpenRequest = or_default(front, request).await?;
    Ok(json(StatusCode::OK, &front.node.open_code(open).await?))
}

pub(super) fn list(front: &Front) -> Answer {
    json(StatusCode::OK, &front.node.code_sessions())
}

pub(super) async fn get(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.session_detail(&id).await?))
}

pub(super) async fn renew(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let renew: RenewRequest = or_default(front, request).await?;
    Ok(json(StatusCode::OK, &front.node.renew_session(&id, renew).await?))
}

pub(super) async fn close(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    front.node.end_session(&id).await?;
    Ok(json(StatusCode::OK, &json!({"status": "closed"})))
}

pub(super) async fn execute(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let wants_events = accepts_events(request.headers());
    let execute = code(front, request).await?;
    let stream = execute.stream || wants_events;
    let running = front.node.execute(&id, ExecuteRequest { stream, ..execute }).await?;
    answer(front, running, stream).await
}

pub(super) async fn execute_once(
    front: &Front,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let wants_events = accepts_events(request.headers());
    let execute = code(front, request).await?;
    let stream = execute.stream || wants_events;
    let running = front.node.execute_once(ExecuteRequest { stream, ..execute }).await?;
    answer(front, running, stream).await
}

/// The answer to code that was sent before; waits for its end.
pub(super) async fn cell(front: &Front, id: SessionId, cell: CellId) -> Result<Answer, ApiError> {
    let running = front.node.cell(&id, &cell).await?;
    answer(front, running, false).await
}

pub(super) async fn events(
    front: &Front,
    id: SessionId,
    cell: CellId,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let query = Query::of(request, &["after"])?;
    let header = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let malformed = |error| ApiError::Malformed(format!("Last-Event-ID: {error}"));
    let after = header.or_else(|| query.get("after")).map(|text| text.parse::<usize>());
    let after = after.transpose().map_err(malformed)?.unwrap_or(0);
    let running = front.node.cell(&id, &cell).await?;
    Ok(code_events::stream(running, after, heartbeat(front)))
}

pub(super) async fn stdin(
    front: &Front,
    id: SessionId,
    cell: CellId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let input: CellInput = request::json(request, front.config.listen.max_body_bytes).await?;
    front.node.cell_stdin(&id, &cell, input).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}

pub(super) async fn interrupt(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let which: KernelRequest = or_default(front, request).await?;
    let interrupted = front.node.interrupt(&id, which).await?;
    let status = if interrupted { "interrupted" } else { "idle" };
    Ok(json(StatusCode::OK, &json!({"status": status})))
}

pub(super) async fn restart(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let which: KernelRequest = or_default(front, request).await?;
    front.node.restart_kernel(&id, which).await?;
    Ok(json(StatusCode::OK, &json!({"status": "restarted"})))
}

async fn answer(front: &Front, running: Running, stream: bool) -> Result<Answer, ApiError> {
    if stream {
        return Ok(code_events::stream(running, 0, heartbeat(front)));
    }
    Ok(match running.ended().await? {
        CodeEnd::Answer(answer) => json(StatusCode::OK, &*answer),
        CodeEnd::Problem(fault) => problem(&fault),
    })
}

async fn code(front: &Front, request: Request<Incoming>) -> Result<ExecuteRequest, ApiError> {
    request::json(request, front.config.listen.max_body_bytes).await
}

/// A body that may be left out.
pub(super) async fn or_default<T>(front: &Front, request: Request<Incoming>) -> Result<T, ApiError>
where
    T: Default + serde::de::DeserializeOwned,
{
    let body = request::body(request, front.config.listen.max_body_bytes).await?;
    if body.is_empty() { Ok(T::default()) } else { request::parse(&body) }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|kind| kind.trim().starts_with("text/event-stream"))
}

fn heartbeat(front: &Front) -> Duration {
    Duration::from_secs(front.config.listen.heartbeat_seconds.max(1))
}
