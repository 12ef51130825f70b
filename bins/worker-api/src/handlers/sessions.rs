//! Session sandboxes over HTTP.

use crate::{
    problem::{Answer, ApiError, json},
    request,
    server::Front,
};
use contracts::{
    SessionId,
    session::{ExecRequest, SessionRequest},
};
use hyper::{Request, StatusCode, body::Incoming};

pub(super) async fn create(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let session: SessionRequest =
        request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(json(StatusCode::CREATED, &front.node.create_session(session).await?))
}

pub(super) async fn list(front: &Front) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.sessions().await?))
}

pub(super) async fn get(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.session(&id).await?))
}

pub(super) async fn exec(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let exec: ExecRequest = request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(json(StatusCode::OK, &front.node.exec(&id, exec).await?))
}

pub(super) async fn end(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.end_session(&id).await?))
}
