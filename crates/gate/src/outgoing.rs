//! A call that may leave: prepared for whoever serves it, sent, and accounted for.
//!
//! An operator's route for the name, or the default one, comes first; a node without any has its one
//! upstream. A route's next target gets the call only while nothing of an answer has come.

use crate::{
    Ask, Budget, Endpoint, Forward, Framing, Meter, ModelMap, Policy, Prepared, Reservation,
    Tenant, UsageFilter,
    account::{Account, Caller},
    check_encoding,
    door::Inner,
    loaded,
    metered::Metered,
    named_model,
    porter::{Denied, said},
    prepare,
    routes::{Attempt, Outcome, RouteError, RouteTable, Verdict},
    veil::Veil,
};
use bytes::Bytes;
use contracts::RouteAlias;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use relay::{
    Answer, AnswerBody, RelayError, Relayed, RequestBody, StreamFormat, Upstream, headers,
};
use std::{sync::Arc, time::Instant};

/// Which model really served, for a client that cares.
const SERVED_BY: &str = "x-pinfold-model";

pub(crate) struct Outgoing<'a> {
    pub(crate) inner: &'a Arc<Inner>,
    pub(crate) tenant: &'a Tenant,
    pub(crate) budget: &'a Arc<Budget>,
    pub(crate) policy: &'a Policy,
    pub(crate) table: &'a RouteTable,
    pub(crate) endpoint: Endpoint,
    pub(crate) query: Option<&'static str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) began: Instant,
}

impl Outgoing<'_> {
    pub(crate) async fn go(self) -> Result<Answer, Denied> {
        match &self.policy.upstream {
            // Without routes there is nothing to look up, and the body is read once.
            Some(upstream) if self.table.is_empty() => return self.to_upstream(upstream).await,
            _ => {}
        }
        let name = named_model(&self.body)?;
        let routed = [name.as_str(), RouteAlias::DEFAULT]
            .into_iter()
            .any(|alias| self.table.route(alias).is_some());
        match (&self.policy.upstream, routed) {
            (_, true) => self.along_route(&name).await,
            (Some(upstream), false) => self.to_upstream(upstream).await,
            (None, false) => Err(Denied::Unrouted(RouteError::NoDefault)),
        }
    }

    async fn to_upstream(&self, upstream: &Upstream) -> Result<Answer, Denied> {
        let forward = match self.prepared(&self.tenant.may_use(&self.policy.models))? {
            Ok(forward) => forward,
            Err(answer) => return Ok(answer),
        };
        let mut account = self.account(&forward, self.reserve(&forward)?);
        let path = self.endpoint.path().to_owned();
        let hides_usage = forward.hides_usage;
        let request = self.request(path, self.client_headers(), forward.body);
        let sent = match request {
            Ok(request) => plain(upstream.send(request, self.endpoint.dialect()).await),
            Err(error) => Err(error),
        };
        match sent {
            Ok(response) => Ok(metered(response, account, self.endpoint, hides_usage, None)),
            Err(error) => {
                account.failed(&error);
                Err(Denied::Failed(error))
            }
        }
    }

    async fn along_route(&self, name: &str) -> Result<Answer, Denied> {
        let dialect = self.endpoint.dialect();
        let allowed = self.tenant.models.as_deref();
        let begun = self.table.begin(name, allowed, dialect, Instant::now());
        let mut attempt = begun.map_err(Denied::Unrouted)?.of_task(&self.tenant.task);
        let mut account = None;
        loop {
            let target = Arc::clone(attempt.target());
            // The name is the route's to judge, the model is the target's.
            let models = ModelMap::one(name, &target.model);
            let forward = match self.prepared(&models)? {
                Ok(forward) => forward,
                Err(answer) => return Ok(answer),
            };
            // One call for the job, however many targets it takes.
            let opened = match account.take() {
                Some(opened) => opened,
                None => self.account(&forward, self.reserve(&forward)?),
            };
            let account_now: &mut Account = account.insert(opened);
            account_now.served_by(&target.provider, &target.model);
            let hides_usage = forward.hides_usage;
            let mut headers = self.client_headers();
            target.dress(&mut headers);
            let request = self.request(target.path(self.endpoint.path()), headers, forward.body);
            let sent = match request {
                Ok(request) => plain(target.upstream.send(request, dialect).await),
                Err(error) => Err(error),
            };
            let outcome = match &sent {
                Ok(response) => Outcome::Status(response.status().as_u16()),
                Err(error) => Outcome::from(error),
            };
            match attempt.ended(outcome, Instant::now()) {
                Verdict::Next => {}
                Verdict::Fail => return Err(self.unserved(account, &attempt, sent.err())),
                Verdict::Done => match (sent, account.take()) {
                    (Ok(mut response), Some(account)) => {
                        if let Ok(model) = HeaderValue::from_str(&target.model) {
                            response.headers_mut().insert(SERVED_BY, model);
                        }
                        let veil = target.veil();
                        return Ok(metered(response, account, self.endpoint, hides_usage, veil));
                    }
                    (sent, account) => return Err(self.unserved(account, &attempt, sent.err())),
                },
            }
        }
    }

    fn unserved(
        &self,
        account: Option<Account>,
        attempt: &Attempt,
        error: Option<RelayError>,
    ) -> Denied {
        let failure = attempt.failure();
        if let Some(mut account) = account {
            match &error {
                Some(error) => account.failed(error),
                None => account.unserved(failure.code()),
            }
        }
        Denied::Unserved(failure)
    }

    /// The body as it may leave, or the answer to one that asks for nothing.
    fn prepared(&self, models: &ModelMap) -> Result<Result<Forward, Answer>, Denied> {
        Ok(match prepare(self.endpoint, &self.body, self.policy.bodies, models)? {
            Prepared::Forward(forward) => Ok(forward),
            Prepared::Load { alias } => {
                let chat = self.endpoint == Endpoint::OllamaChat;
                Err(said(StatusCode::OK, loaded(&alias, chat)))
            }
        })
    }

    fn reserve(&self, forward: &Forward) -> Result<Reservation, Denied> {
        let generates = self.endpoint.generates();
        let ask = Ask::of_call(forward.body.len(), generates, forward.max_output_tokens);
        Ok(self.budget.reserve(ask)?)
    }

    fn account(&self, forward: &Forward, reservation: Reservation) -> Account {
        let caller = Caller { task: self.tenant.task.clone(), job: self.tenant.job.clone() };
        let inner = Arc::clone(self.inner);
        Account::open(inner, caller, self.endpoint, forward, reservation, self.began)
    }

    /// Nothing of the client's crosses but what is on a list.
    fn client_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers::strip_hop_by_hop(&mut headers);
        headers::strip_credentials(&mut headers);
        headers::REQUEST.apply(&mut headers);
        headers
    }

    fn request(
        &self,
        path: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<RequestBody>, RelayError> {
        let target = match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut request = Request::new(RequestBody::whole(body));
        *request.method_mut() = Method::POST;
        // The operator's and our own words, none of the client's.
        *request.uri_mut() = target.parse().map_err(|_| relay::request::Refusal::Target)?;
        *request.headers_mut() = headers;
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, identity);
        Ok(request)
    }
}

/// What is encoded can't be metered, nor looked at for its end and for what must stay here.
fn plain(sent: Result<Response<Relayed>, RelayError>) -> Result<Response<Relayed>, RelayError> {
    sent.and_then(|answer| match check_encoding(answer.headers()) {
        Ok(()) => Ok(answer),
        Err(_) => Err(RelayError::Encoded),
    })
}

fn metered(
    response: Response<Relayed>,
    mut account: Account,
    endpoint: Endpoint,
    hides_usage: bool,
    veil: Option<Veil>,
) -> Answer {
    let (mut head, relayed) = response.into_parts();
    let format = StreamFormat::of(&head.headers);
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let framing = Framing::of_content_type(content_type);
    let is_success = head.status.is_success();
    let meter = is_success.then(|| Meter::new(endpoint, framing));
    account.answered(head.status.as_u16(), meter);
    headers::RESPONSE.apply(&mut head.headers);
    let veil = veil.map(|veil| if is_success { veil } else { veil.over_refusal() });
    if let Some(veil) = &veil {
        veil.cover_headers(&mut head.headers);
    }
    // An error is passed on as it is: it has no end mark and no usage.
    let format = format.filter(|_| is_success);
    let filter = (hides_usage && format.is_some()).then(UsageFilter::default);
    let body = Metered::new(relayed, account, (veil, filter), endpoint.dialect(), format);
    Response::from_parts(head, AnswerBody::Other(body.boxed_unsync()))
}
