//! Routes over HTTP, for who holds the admin token.

use crate::{
    problem::{Answer, ApiError, full, json},
    request,
    server::Front,
};
use contracts::{
    RouteAlias,
    route::{RoutePatch, RouteRequest},
};
use hyper::{Request, StatusCode, body::Incoming};

/// No route is larger.
const MAX_BODY_BYTES: u64 = 64 << 10;

pub(super) async fn list(front: &Front) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.catalog.routes().await))
}

pub(super) async fn get(front: &Front, alias: RouteAlias) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.catalog.route(&alias).await?))
}

pub(super) async fn set(
    front: &Front,
    alias: RouteAlias,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let route: RouteRequest = request::json(request, MAX_BODY_BYTES).await?;
    Ok(json(StatusCode::OK, &front.catalog.set_route(alias, route).await?))
}

pub(super) async fn update(
    front: &Front,
    alias: RouteAlias,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let patch: RoutePatch = request::json(request, MAX_BODY_BYTES).await?;
    Ok(json(StatusCode::OK, &front.catalog.update_route(alias, patch).await?))
}

pub(super) async fn delete(front: &Front, alias: RouteAlias) -> Result<Answer, ApiError> {
    front.catalog.delete_route(alias).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}
