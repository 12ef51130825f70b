//! Stands in a sandbox's door and looks at each call: may it leave, as what, and at whose cost. What
//! comes through the door is taken as hostile, the sidecar's word included.

use crate::{
    Answer as OwnAnswer, Budget, Call, Kind, ModelMap, Policy, Refusal, Tenant, answer, call,
    check_encoding, dns,
    door::{Admitted, Inner},
    fetch,
    home::{self, Asked, Home},
    outgoing::Outgoing,
    packages,
    routes::RouteError,
    surface::dialect_of,
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use relay::{Answer, AnswerBody, Dialect, Handed, Handler, Received, RelayError};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// Bodies that one sandbox may have in the node's memory at a time, in KiB.
const BODIES_KIB: usize = 32 << 10;

/// What a question that the gate answers itself may have as its body.
const MAX_QUESTION_BYTES: u64 = 64 << 10;

pub(crate) struct Porter {
    inner: Arc<Inner>,
    admitted: Arc<Admitted>,
    bodies: Semaphore,
    /// Once there is TLS: where a CONNECT to the gate's own name goes.
    home: OnceLock<Home>,
}

/// Why a call does not get an upstream's answer.
pub(crate) enum Denied {
    /// By policy.
    Refused(Refusal),
    /// Its body did not come, or not as it should.
    Unread(RelayError),
    /// On its way; its account has told so.
    Failed(RelayError),
    /// Nobody is there to serve it.
    Unrouted(RouteError),
    /// Nobody served it; its account has told so.
    Unserved(RouteError),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Handler for Porter {
    async fn handle(&self, request: Request<Received>) -> Answer {
        let began = Instant::now();
        let (mut head, body) = request.into_parts();
        if let (true, Some(tenant)) = (fetch::is_asked(&head), self.admitted.get()) {
            let asked = tenant.budget.as_ref().and_then(|_| home::asked(&head));
            match (asked, self.home.get()) {
                (Some(Asked::Plain(target)), _) => head.uri = target,
                (Some(Asked::Tunnel), Some(home)) => return home.tunnel(),
                _ => return fetch::answer(&self.inner, tenant, head, body).await,
            }
        }
        if let (true, Some(tenant)) = (dns::is_asked(&head), self.admitted.get()) {
            return dns::answer(&self.inner, tenant, body).await;
        }
        if packages::is_asked(&head) {
            let preparing = self.admitted.prepares();
            if let Some(tenant) = self.admitted.get().or(preparing.as_deref()) {
                return packages::answer(&self.inner, tenant, &head).await;
            }
        }
        let dialect = dialect_of(head.uri.path(), &head.headers);
        let Some(tenant) = self.admitted.get() else {
            let message = "no job has this sandbox";
            return refused(dialect, &Refusal::new(Kind::Route, message));
        };
        let Some(budget) = &tenant.budget else {
            let refusal = no_models();
            self.deny(tenant, &head, refusal.kind.code(), refusal.status());
            return refused(dialect, &refusal);
        };
        match self.pass(tenant, budget, &head, body, began).await {
            Ok(answer) => answer,
            Err(Denied::Refused(refusal)) => {
                self.deny(tenant, &head, refusal.kind.code(), refusal.status());
                refused(dialect, &refusal)
            }
            Err(Denied::Unread(error)) => {
                self.deny(tenant, &head, error.code(), error.status());
                relay::refusal(dialect, &error)
            }
            Err(Denied::Failed(error)) => relay::refusal(dialect, &error),
            Err(Denied::Unrouted(error)) => {
                self.deny(tenant, &head, error.code(), error.status());
                unserved(dialect, &error)
            }
            Err(Denied::Unserved(error)) => unserved(dialect, &error),
        }
    }
}

impl Porter {
    pub(crate) fn new(inner: Arc<Inner>, admitted: Arc<Admitted>) -> Self {
        Self { inner, admitted, bodies: Semaphore::new(BODIES_KIB), home: OnceLock::new() }
    }

    pub(crate) fn leads_home(&self, home: mpsc::Sender<Handed>) {
        // A second one would be as good as the first.
        self.home.get_or_init(|| Home::new(home));
    }

    async fn pass(
        &self,
        tenant: &Tenant,
        budget: &Arc<Budget>,
        head: &Parts,
        body: Received,
        began: Instant,
    ) -> Result<Answer, Denied> {
        let policy = &*self.inner.policy.get();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let table = Arc::clone(&self.inner.routes.borrow());
        match call(&head.method, target.as_bytes(), &head.headers)? {
            Call::Answer(asked) => {
                let models = policy.models.with_routes(&table);
                let models = tenant.may_use(&models);
                self.answer(&asked, policy, &models, body).await
            }
            Call::Infer { endpoint, query } => {
                check_encoding(&head.headers)?;
                let size = body.size_hint().upper().unwrap_or(policy.max_body_bytes);
                let place = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
                let most = u32::try_from(BODIES_KIB).unwrap_or(u32::MAX);
                // The place is held until the answer begins, and with it the body's memory.
                let _place = self.bodies.acquire_many(place.min(most)).await;
                let body = read(body, policy.max_body_bytes, policy.body_time).await;
                let body = body.map_err(Denied::Unread)?;
                let call = Outgoing {
                    inner: &self.inner,
                    tenant,
                    budget,
                    policy,
                    table: &table,
                    endpoint,
                    query,
                    headers: &head.headers,
                    body,
                    began,
                };
                call.go().await
            }
        }
    }

    async fn answer(
        &self,
        asked: &OwnAnswer,
        policy: &Policy,
        models: &ModelMap,
        body: Received,
    ) -> Result<Answer, Denied> {
        let body = read(body, MAX_QUESTION_BYTES, policy.body_time).await;
        let body = body.map_err(Denied::Unread)?;
        Ok(said(StatusCode::OK, answer(asked, &body, models)?))
    }

    fn deny(&self, tenant: &Tenant, head: &Parts, reason: &'static str, status: StatusCode) {
        if let Some(budget) = &tenant.budget {
            budget.count_refusal();
        }
        self.inner.metrics.refused(reason);
        tracing::info!(
            target: "audit",
            task_id = tenant.task,
            job_id = tenant.job,
            rule = "inference",
            decision = "deny",
            method = crate::refusal::quoted(head.method.as_str()),
            path = crate::refusal::quoted(head.uri.path()),
            reason,
            status = status.as_u16(),
            "a call"
        );
    }
}

/// Reads a body to its end, within its bounds.
pub(crate) async fn read(
    mut body: Received,
    limit: u64,
    time: Duration,
) -> Result<Bytes, RelayError> {
    if body.size_hint().lower() > limit {
        return Err(RelayError::TooLarge { limit });
    }
    let reading = async {
        let mut whole = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| RelayError::BrokenRequest)?;
            let Ok(data) = frame.into_data() else { continue };
            if (whole.len() + rest.len() + data.len()) as u64 > limit {
                return Err(RelayError::TooLarge { limit });
            }
            // Nearly every body comes in one piece, and is then not copied.
            match whole.is_empty() && rest.is_empty() {
                true => whole = data,
                false => {
                    if rest.is_empty() {
                        rest.extend_from_slice(&std::mem::take(&mut whole));
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        Ok(if rest.is_empty() { whole } else { rest.freeze() })
    };
    timeout(time, reading).await.map_err(|_| RelayError::SlowRequest(time))?
}

fn no_models() -> Refusal {
    Refusal::new(Kind::Route, "this sandbox may not use any model")
}

fn refused(dialect: Dialect, refusal: &Refusal) -> Answer {
    let json = HeaderValue::from_static("application/json");
    let mut answer = said(refusal.status(), (json, refusal.body(dialect)));
    if refusal.status() == StatusCode::TOO_MANY_REQUESTS {
        let should = if refusal.kind.should_retry() { "true" } else { "false" };
        answer.headers_mut().insert("x-should-retry", HeaderValue::from_static(should));
    }
    answer
}

/// Names the hop and the cause, in the client's own dialect.
fn unserved(dialect: Dialect, error: &RouteError) -> Answer {
    let json = HeaderValue::from_static("application/json");
    let body = dialect.error_body(error.status(), error.code(), &error.to_string());
    let mut answer = said(error.status(), (json, body));
    if let Some(wait) = error.retry_in() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    answer
}

pub(crate) fn said(status: StatusCode, (content_type, body): (HeaderValue, Bytes)) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
