//! Stands in a sandbox's door and looks at each call: may it leave, as what, and at whose cost. What
//! comes through the door is taken as hostile, the sidecar's word included.

use crate::{
    Answer as OwnAnswer, Ask, Call, Endpoint, Forward, Framing, Kind, Meter, ModelMap, Policy,
    Prepared, Refusal, Tenant, UsageFilter,
    account::{Account, Caller},
    answer, call, check_encoding,
    door::Inner,
    fetch, loaded,
    metered::Metered,
    prepare,
    surface::dialect_of,
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE,
    request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use relay::{Answer, AnswerBody, Dialect, Handler, RelayError, RequestBody, StreamFormat, headers};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, time::timeout};

/// Bodies that one sandbox may have in the node's memory at a time, in KiB.
const BODIES_KIB: usize = 32 << 10;

/// What a question that the gate answers itself may have as its body.
const MAX_QUESTION_BYTES: u64 = 64 << 10;

pub(crate) struct Porter {
    inner: Arc<Inner>,
    tenant: Arc<OnceLock<Tenant>>,
    bodies: Semaphore,
}

/// Why a call does not get an upstream's answer.
enum Denied {
    /// By policy.
    Refused(Refusal),
    /// Its body did not come, or not as it should.
    Unread(RelayError),
    /// On its way; its account has told so.
    Failed(RelayError),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Handler for Porter {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let began = Instant::now();
        let (head, body) = request.into_parts();
        if let (true, Some(tenant)) = (fetch::is_asked(&head), self.tenant.get()) {
            return fetch::answer(&self.inner, tenant, head, body).await;
        }
        let dialect = dialect_of(head.uri.path(), &head.headers);
        let Some(tenant) = self.tenant.get() else {
            let message = "no job has this sandbox";
            return refused(dialect, &Refusal::new(Kind::Route, message));
        };
        let (Some(policy), Some(_)) = (self.inner.policy.get(), &tenant.budget) else {
            let refusal = no_models();
            self.deny(tenant, &head, refusal.kind.code(), refusal.status());
            return refused(dialect, &refusal);
        };
        match self.pass(tenant, &policy, &head, body, began).await {
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
        }
    }
}

impl Porter {
    pub(crate) fn new(inner: Arc<Inner>, tenant: Arc<OnceLock<Tenant>>) -> Self {
        Self { inner, tenant, bodies: Semaphore::new(BODIES_KIB) }
    }

    async fn pass(
        &self,
        tenant: &Tenant,
        policy: &Policy,
        head: &Parts,
        body: Incoming,
        began: Instant,
    ) -> Result<Answer, Denied> {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let models = match &tenant.models {
            Some(names) => Cow::Owned(policy.models.narrowed(names)),
            None => Cow::Borrowed(&policy.models),
        };
        match call(&head.method, target.as_bytes(), &head.headers)? {
            Call::Answer(asked) => self.answer(&asked, policy, &models, body).await,
            Call::Infer { endpoint, query } => {
                check_encoding(&head.headers)?;
                let size = body.size_hint().upper().unwrap_or(policy.max_body_bytes);
                let place = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
                let most = u32::try_from(BODIES_KIB).unwrap_or(u32::MAX);
                // The place is held until the answer begins, and with it the body's memory.
                let _place = self.bodies.acquire_many(place.min(most)).await;
                let body = read(body, policy.max_body_bytes, policy.body_time).await;
                let body = body.map_err(Denied::Unread)?;
                match prepare(endpoint, &body, policy.bodies, &models)? {
                    Prepared::Load { alias } => {
                        let chat = endpoint == Endpoint::OllamaChat;
                        Ok(said(StatusCode::OK, loaded(&alias, chat)))
                    }
                    Prepared::Forward(forward) => {
                        let sent = Sent { endpoint, query, headers: &head.headers, forward, began };
                        self.forward(tenant, policy, sent).await
                    }
                }
            }
        }
    }

    async fn answer(
        &self,
        asked: &OwnAnswer,
        policy: &Policy,
        models: &ModelMap,
        body: Incoming,
    ) -> Result<Answer, Denied> {
        let body = read(body, MAX_QUESTION_BYTES, policy.body_time).await;
        let body = body.map_err(Denied::Unread)?;
        Ok(said(StatusCode::OK, answer(asked, &body, models)?))
    }

    async fn forward(
        &self,
        tenant: &Tenant,
        policy: &Policy,
        sent: Sent<'_>,
    ) -> Result<Answer, Denied> {
        let Sent { endpoint, query, headers, forward, began } = sent;
        let ask = Ask::of_call(forward.body.len(), endpoint.generates(), forward.max_output_tokens);
        let budget = tenant.budget.as_ref().ok_or_else(no_models)?;
        let reservation = budget.reserve(ask)?;
        let caller = Caller { task: tenant.task.clone(), job: tenant.job.clone() };
        let inner = Arc::clone(&self.inner);
        let mut account = Account::open(inner, caller, endpoint, &forward, reservation, began);
        let hides_usage = forward.hides_usage;
        let request = upstream_request(endpoint, query, headers, forward.body);
        let request = request.map_err(Denied::Failed)?;
        let dialect = endpoint.dialect();
        match policy.upstream.send(request, dialect).await {
            Err(error) => {
                account.failed(&error);
                Err(Denied::Failed(error))
            }
            Ok(response) => Ok(metered(response, account, endpoint, hides_usage)),
        }
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
            method = %head.method,
            path = crate::refusal::quoted(head.uri.path()),
            reason,
            status = status.as_u16(),
            "a call"
        );
    }
}

/// A call that may go, and what goes with it.
struct Sent<'a> {
    endpoint: Endpoint,
    query: Option<&'static str>,
    headers: &'a HeaderMap,
    forward: Forward,
    began: Instant,
}

/// A request of our own: nothing of the client's crosses but what is on a list.
fn upstream_request(
    endpoint: Endpoint,
    query: Option<&'static str>,
    client: &HeaderMap,
    body: Bytes,
) -> Result<Request<RequestBody>, RelayError> {
    let target = match query {
        Some(query) => format!("{}?{query}", endpoint.path()),
        None => endpoint.path().to_owned(),
    };
    let mut request = Request::new(RequestBody::whole(body));
    *request.method_mut() = Method::POST;
    // Both parts are words of ours.
    *request.uri_mut() = target.parse().map_err(|_| relay::request::Refusal::Target)?;
    let mut headers = client.clone();
    headers::strip_hop_by_hop(&mut headers);
    headers::strip_credentials(&mut headers);
    headers::REQUEST.apply(&mut headers);
    *request.headers_mut() = headers;
    Ok(request)
}

fn metered(
    response: Response<relay::Relayed>,
    mut account: Account,
    endpoint: Endpoint,
    hides_usage: bool,
) -> Answer {
    let (mut head, relayed) = response.into_parts();
    let format = StreamFormat::of(&head.headers);
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let framing = Framing::of_content_type(content_type);
    let is_success = head.status.is_success();
    let meter = is_success.then(|| Meter::new(endpoint, framing));
    account.answered(head.status.as_u16(), meter);
    headers::RESPONSE.apply(&mut head.headers);
    // An error is passed on as it is: it has no end mark and no usage.
    let format = format.filter(|_| is_success);
    let filter = (hides_usage && format.is_some()).then(UsageFilter::default);
    let body = Metered::new(relayed, account, filter, endpoint.dialect(), format);
    Response::from_parts(head, AnswerBody::Other(body.boxed_unsync()))
}

/// Reads a body to its end, within its bounds.
async fn read(mut body: Incoming, limit: u64, time: Duration) -> Result<Bytes, RelayError> {
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

fn said(status: StatusCode, (content_type, body): (HeaderValue, Bytes)) -> Answer {
    let mut answer = Response::new(AnswerBody::Whole(Full::new(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
