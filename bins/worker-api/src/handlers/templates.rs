//! Templates of sessions over HTTP, for who holds the admin token.

use crate::{
    problem::{Answer, ApiError, full, json},
    request,
    server::Front,
};
use contracts::{TemplateName, template::TemplateSpec};
use hyper::{Request, StatusCode, body::Incoming};

/// Its files are a megabyte at most, which JSON may make longer.
const MAX_BODY_BYTES: u64 = 4 << 20;

pub(super) fn list(front: &Front) -> Answer {
    json(StatusCode::OK, &front.node.templates())
}

pub(super) fn get(front: &Front, name: &TemplateName) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.template(name)?))
}

pub(super) async fn put(
    front: &Front,
    name: TemplateName,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let spec: TemplateSpec = request::json(request, MAX_BODY_BYTES).await?;
    let (view, is_new) = front.node.put_template(name, spec).await?;
    Ok(json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &view))
}

pub(super) async fn delete(front: &Front, name: &TemplateName) -> Result<Answer, ApiError> {
    front.node.delete_template(name).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}
