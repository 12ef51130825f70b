//! Rules of egress over HTTP: of a job or a session while it runs, and the node's own.

use crate::{
    problem::{Answer, ApiError, json},
    request,
    server::Front,
};
use contracts::{JobId, SessionId};
use hyper::{Request, StatusCode, body::Incoming};
use jobs::JobError;

pub(super) async fn of_job(front: &Front, id: JobId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.job_egress(&id).await?))
}

pub(super) async fn set_of_job(
    front: &Front,
    id: JobId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let rules = request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(json(StatusCode::OK, &front.node.set_job_egress(&id, rules).await?))
}

pub(super) async fn of_session(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.session_egress(&id).await?))
}

pub(super) async fn set_of_session(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let rules = request::json(request, front.config.listen.max_body_bytes).await?;
    Ok(json(StatusCode::OK, &front.node.set_session_egress(&id, rules).await?))
}

pub(super) fn policies(front: &Front) -> Answer {
    json(StatusCode::OK, &front.node.egress_policies())
}

/// With a fault in the file, all stays as it was.
pub(super) fn reload(front: &Front) -> Result<Answer, ApiError> {
    let policies = front.config.egress_settings.policies().map_err(JobError::Refused)?;
    Ok(json(StatusCode::OK, &front.node.set_egress_policies(policies)))
}
