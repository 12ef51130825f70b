//! Providers over HTTP, for who holds the admin token.

use crate::{
    problem::{Answer, ApiError, full, json},
    request::{self, Query},
    server::Front,
};
use contracts::{
    ProviderName,
    provider::{ProbeRequest, ProviderPatch, ProviderRequest},
};
use hyper::{Request, StatusCode, body::Incoming};

/// No record of a provider is larger.
const MAX_BODY_BYTES: u64 = 128 << 10;

pub(super) async fn list(front: &Front) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.catalog.providers().await))
}

pub(super) async fn create(front: &Front, request: Request<Incoming>) -> Result<Answer, ApiError> {
    let provider: ProviderRequest = request::secret_json(request, MAX_BODY_BYTES).await?;
    Ok(json(StatusCode::CREATED, &front.catalog.create_provider(provider).await?))
}

pub(super) async fn get(front: &Front, name: ProviderName) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.catalog.provider(&name).await?))
}

pub(super) async fn update(
    front: &Front,
    name: ProviderName,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let patch: ProviderPatch = request::secret_json(request, MAX_BODY_BYTES).await?;
    Ok(json(StatusCode::OK, &front.catalog.update_provider(&name, patch).await?))
}

pub(super) async fn delete(
    front: &Front,
    name: ProviderName,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let force = Query::of(request, &["force"])?.parsed("force")?.unwrap_or(false);
    front.catalog.delete_provider(name, force).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}

pub(super) async fn test(
    front: &Front,
    name: ProviderName,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let probe: ProbeRequest = request::json(request, MAX_BODY_BYTES).await?;
    Ok(json(StatusCode::OK, &front.catalog.test_provider(&name, probe).await?))
}
