//! What a sandbox fetches: CONNECT and absolute-form requests, from the head to the last byte.
//!
//! ```text
//!   head ─► judged ─► name resolved, once ─► addresses judged ┬► 200, the TLS hello is judged ─► spliced
//!             │              │                     │          └► sent in origin form ─► its answer
//!             └──────────────┴─────────────────────┴► a denial that says what is allowed
//! ```
//!
//! What is decided is decided in `egress`. Here is the connecting: to addresses of the permit alone.

mod entry;
mod fetching;
mod hello;
mod outside;
mod plain;
mod tunnel;

pub use fetching::Fetching;
pub use hello::Hello;
pub use outside::Outside;

use crate::{Tenant, door::Inner, egress};
use bytes::Bytes;
use entry::Entry;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HOST},
    request::Parts,
};
use http_body_util::Full;
use relay::{Answer, AnswerBody, Received};
use serde_json::json;
use std::sync::Arc;
use tokio::net::UnixStream;

/// Whether a request is one to a proxy: whatever else it asks, no model answers it.
pub(crate) fn is_asked(head: &Parts) -> bool {
    head.method == Method::CONNECT || head.uri.scheme().is_some()
}

pub(crate) async fn answer(
    inner: &Arc<Inner>,
    tenant: &Tenant,
    head: Parts,
    body: Received,
) -> Answer {
    let policy = tenant.fetching.policy();
    let permit = match read(&head) {
        Ok(request) => judge(inner, tenant, &policy, &request).await,
        Err(denial) => Err(denial),
    };
    match permit {
        Ok(permit) => {
            let entry = Entry::open(inner, tenant, &permit);
            match head.method {
                Method::CONNECT => tunnel::answer(permit, entry),
                _ => plain::answer(permit, entry, head, body).await,
            }
        }
        Err(denial) => {
            refuse(inner, tenant, &denial);
            denied(&denial, &policy)
        }
    }
}

/// What a client says first, whole.
pub(crate) async fn hello(client: &mut UnixStream, outside: &Outside) -> Option<Hello> {
    hello::read(client, outside.hello).await
}

/// TLS that came without a CONNECT, to the host that its hello names.
pub(crate) async fn by_name(
    inner: &Arc<Inner>,
    tenant: &Tenant,
    name: &str,
    hello: Hello,
    client: UnixStream,
) {
    let policy = tenant.fetching.policy();
    let target = format!("{name}:{}", inner.outside.tls_port);
    let permit = match egress::Request::connect(target.as_bytes(), &[]) {
        Ok(request) => judge(inner, tenant, &policy, &request).await,
        Err(denial) => Err(denial),
    };
    match permit {
        Ok(permit) => {
            let entry = Entry::open(inner, tenant, &permit);
            tunnel::greeted(client, hello, permit, entry).await;
        }
        Err(denial) => {
            refuse(inner, tenant, &denial);
            tunnel::refused(client).await;
        }
    }
}

/// Counts it and writes it down.
pub(crate) fn refuse(inner: &Arc<Inner>, tenant: &Tenant, denial: &egress::Denial) {
    Entry::refuse(inner, tenant, denial);
}

pub(crate) fn read(head: &Parts) -> Result<egress::Request, egress::Denial> {
    let target = head.uri.to_string();
    let hosts: Vec<&[u8]> = head.headers.get_all(HOST).iter().map(HeaderValue::as_bytes).collect();
    match head.method {
        Method::CONNECT => egress::Request::connect(target.as_bytes(), &hosts),
        _ => egress::Request::plain(head.method.as_str().as_bytes(), target.as_bytes(), &hosts),
    }
}

async fn judge(
    inner: &Inner,
    tenant: &Tenant,
    policy: &egress::Policy,
    request: &egress::Request,
) -> Result<egress::Permit, egress::Denial> {
    let admitted = policy.admit(request)?;
    let resolved = match admitted.name() {
        Some(name) => inner.outside.resolve(name, &tenant.fetching.lookups).await,
        None => Vec::new(),
    };
    admitted.approve(&resolved)
}

fn denied(denial: &egress::Denial, policy: &egress::Policy) -> Answer {
    said(denial.status(), denial.body(policy))
}

/// The rules allow it, and it did not come about.
fn failed(status: StatusCode, code: &str, message: &str, target: &str) -> Answer {
    let body = json!({
        "error": "egress_failed", "reason": code, "message": message, "target": target,
    });
    said(status, Bytes::from(body.to_string()))
}

fn said(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
