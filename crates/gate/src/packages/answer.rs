//! What a package client in a sandbox is told, at its job's cost, and what is written down of it.

use super::{
    Packages, Source,
    asked::{self, Asked, PREFIX},
    store::Found,
};
use crate::{
    Tenant,
    door::Inner,
    egress::{Direction, Reason},
};
use bytes::{Bytes, BytesMut};
use contracts::packages::Registry;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName},
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, SizeHint};
use relay::{Answer, AnswerBody, RelayError};
use serde_json::json;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// How what is given came here.
const CACHE: HeaderName = HeaderName::from_static("x-pinfold-cache");
const PIECE_BYTES: u64 = 128 << 10;

/// Whether a request is for packages, whatever it is worth.
pub(crate) fn is_asked(head: &Parts) -> bool {
    head.uri.scheme().is_none() && head.uri.path().starts_with(PREFIX)
}

pub(crate) async fn answer(inner: &Inner, tenant: &Tenant, head: &Parts) -> Answer {
    let began = Instant::now();
    let mut told = Told { registry: None, what: String::new(), source: None, bytes: 0 };
    let answer = match given(inner, tenant, head, &mut told).await {
        Ok(answer) => {
            tenant.fetching.count_allowed();
            answer
        }
        Err(No { status, reason, message }) => {
            tenant.fetching.count_refused();
            inner.metrics.refused(reason);
            told.write(tenant, began, "deny", Some(reason), status);
            return said(status, reason, &message);
        }
    };
    if let (Some(registry), Some(source)) = (told.registry, told.source) {
        inner.metrics.package(registry.name(), source.code(), told.bytes);
    }
    told.write(tenant, began, "allow", None, StatusCode::OK);
    answer
}

struct No {
    status: StatusCode,
    reason: &'static str,
    message: String,
}

impl No {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

impl From<Reason> for No {
    fn from(reason: Reason) -> Self {
        Self::new(reason.status(), reason.code(), reason.to_string())
    }
}

async fn given(
    inner: &Inner,
    tenant: &Tenant,
    head: &Parts,
    told: &mut Told,
) -> Result<Answer, No> {
    if ![Method::GET, Method::HEAD].contains(&head.method) {
        let message = "packages are only read here";
        return Err(No::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message));
    }
    let asked = asked::read(head.uri.path()).filter(|_| head.uri.query().is_none());
    let unknown = || No::new(StatusCode::NOT_FOUND, "no_such_package", "this names no package");
    let asked = asked.ok_or_else(unknown)?;
    told.asks(&asked);
    let packages = inner.packages.get().filter(|_| tenant.fetching.may_install(asked.registry()));
    let packages = packages.ok_or_else(|| {
        let registry = asked.registry().name();
        let message = format!("this sandbox may not install from {registry}");
        No::new(StatusCode::FORBIDDEN, "packages_not_allowed", message)
    })?;
    tenant.fetching.spend(Direction::Out, head.uri.path().len())?;
    // Who has nothing left makes the node fetch nothing.
    tenant.fetching.spend(Direction::In, 1)?;
    let (found, source) = {
        let _place = tenant.fetching.package_place().await;
        get(packages, &asked).await?
    };
    told.source = Some(source);
    // Who asks by HEAD is given nothing of it.
    if head.method == Method::GET {
        let bytes = usize::try_from(found.bytes()).unwrap_or(usize::MAX);
        tenant.fetching.spend(Direction::In, bytes)?;
        if matches!(asked, Asked::Release { .. } | Asked::Tarball { .. }) {
            tenant.fetching.file_given(head.uri.path());
        }
        told.bytes = found.bytes();
    }
    let content_type = HeaderValue::from_str(&found.meta.content_type);
    let mut answer = Response::new(AnswerBody::Other(Kept::new(found).boxed_unsync()));
    let headers = answer.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(source.code()));
    headers.extend(content_type.ok().map(|value| (CONTENT_TYPE, value)));
    Ok(answer)
}

async fn get(packages: &Packages, asked: &Asked) -> Result<(Found, Source), No> {
    packages.get(asked).await.map_err(|failure| {
        let cause = std::error::Error::source(&failure).map(ToString::to_string);
        tracing::debug!(code = failure.code(), cause, "a package can't be given");
        No::new(failure.status(), failure.code(), failure.to_string())
    })
}

fn said(status: StatusCode, reason: &str, message: &str) -> Answer {
    let error = if status == StatusCode::FORBIDDEN { "egress_denied" } else { "packages_failed" };
    let body = json!({"error": error, "reason": reason, "message": message}).to_string();
    let mut answer = Response::new(AnswerBody::Whole(Full::new(Bytes::from(body))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The audit's line.
struct Told {
    registry: Option<Registry>,
    what: String,
    source: Option<Source>,
    bytes: u64,
}

impl Told {
    fn asks(&mut self, asked: &Asked) {
        (self.registry, self.what) = (Some(asked.registry()), asked.told());
    }

    fn write(
        &self,
        tenant: &Tenant,
        began: Instant,
        decision: &'static str,
        reason: Option<&'static str>,
        status: StatusCode,
    ) {
        tracing::info!(
            target: "audit",
            task_id = tenant.task,
            job_id = tenant.job,
            rule = "packages",
            decision,
            registry = self.registry.map(Registry::name),
            to = self.what,
            reason,
            source = self.source.map(Source::code),
            status = status.as_u16(),
            bytes_in = self.bytes,
            total_ms = began.elapsed().as_micros() as f64 / 1000.0,
            "a package"
        );
    }
}

/// A kept thing as a body: read as fast as it is taken, and never held whole.
struct Kept {
    file: File,
    left: u64,
}

impl Kept {
    fn new(found: Found) -> Self {
        Self { left: found.bytes(), file: File::from_std(found.file) }
    }
}

impl Body for Kept {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(self.left.min(PIECE_BYTES) as usize);
        let mut buffer = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(&mut self.file).poll_read(cx, &mut buffer));
        let length = buffer.filled().len();
        match read {
            Ok(()) if length > 0 => {
                self.left -= length as u64;
                piece.truncate(length);
                Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
            }
            ended => {
                let error = ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                tracing::warn!(%error, "a kept package can't be read to its end");
                Poll::Ready(Some(Err(RelayError::Unfinished)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
