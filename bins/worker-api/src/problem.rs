//! The one place where errors become HTTP.

use contracts::problem::{Problem, ProblemType};
use gate::providers::CatalogError;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use jobs::JobError;

/// Why an answer under way has no end: its connection is cut, so that nobody takes it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct BrokenOff;

pub(crate) type Body = UnsyncBoxBody<Bytes, BrokenOff>;
pub(crate) type Answer = Response<Body>;

#[derive(Debug)]
pub(crate) enum ApiError {
    Job(JobError),
    Unauthenticated,
    /// The worker's token is not the admin's.
    NotAdmin,
    /// This node has no admin token.
    NoAdmin,
    Catalog(CatalogError),
    /// A page in a browser asks for what no page has to do with.
    OfAPage,
    NoSuchPath,
    /// The methods that the path has.
    Method(String),
    BodyTooLarge(u64),
    BodyTooSlow,
    BodyBroken,
    /// A body or parameter that can't be understood, with the reason.
    Malformed(String),
    Internal(&'static str),
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl ApiError {
    fn problem(&self) -> Problem {
        use ProblemType::{Authentication, Authorization, Internal, NotFound, Validation};
        match self {
            Self::Job(error) => error.problem(),
            Self::Unauthenticated => Problem::new(Authentication, 401, "Unauthorized")
                .with_detail("a valid bearer token is required"),
            Self::NotAdmin => Problem::new(Authorization, 403, "Forbidden")
                .with_detail("the worker's token is not enough: the admin token is required"),
            Self::NoAdmin => Problem::new(Authorization, 403, "Forbidden").with_detail(
                "this node has no admin token: set WORKER_API_ADMIN_TOKEN and restart it",
            ),
            Self::Catalog(error) => error.problem(),
            Self::OfAPage => Problem::new(Authorization, 403, "Forbidden")
                .with_detail("requests that tell an origin are refused here"),
            Self::NoSuchPath => Problem::new(NotFound, 404, "Not found"),
            Self::Method(allowed) => Problem::new(Validation, 405, "Method not allowed")
                .with_detail(format!("this path has {allowed}")),
            Self::BodyTooLarge(most) => Problem::new(Validation, 413, "Request Entity Too Large")
                .with_detail(format!("the body is larger than {most} bytes")),
            Self::BodyTooSlow => Problem::new(Validation, 408, "Request Timeout")
                .with_detail("the body did not arrive in time"),
            Self::BodyBroken => Problem::new(Validation, 400, "Invalid request")
                .with_detail("the body could not be read"),
            Self::Malformed(why) => {
                Problem::new(Validation, 400, "Invalid request").with_detail(why)
            }
            Self::Internal(phase) => {
                Problem::new(Internal, 500, "The node failed").with_phase(*phase)
            }
        }
    }

    pub(crate) fn answer(self) -> Answer {
        let source: Option<&dyn std::error::Error> = match &self {
            Self::Job(error) => Some(error),
            Self::Catalog(error) => Some(error),
            _ => None,
        };
        if let Some(error) = source
            && self.problem().status >= 500
            // Of the sandbox's own size, which is no fault.
            && self.problem().status != 507
        {
            tracing::warn!(error = %jobs::chain(error), "a request failed by our fault");
        }
        let mut answer = problem(&self.problem());
        let headers = answer.headers_mut();
        match &self {
            Self::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    headers.insert(ALLOW, allowed);
                }
            }
            // What was not read must not be taken for the next request.
            Self::BodyTooLarge(_) | Self::BodyTooSlow | Self::BodyBroken => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Job(
                JobError::Full { retry_after_s }
                | JobError::DiskFull { retry_after_s }
                | JobError::Unread { retry_after_s },
            ) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::Job(JobError::Draining) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(5));
            }
            _ => {}
        }
        answer
    }
}

pub(crate) fn problem(problem: &Problem) -> Answer {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    full(status, "application/problem+json", body)
}

pub(crate) fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => full(status, "application/json", body),
        Err(_) => ApiError::Internal("answer").answer(),
    }
}

pub(crate) fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer =
        Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
