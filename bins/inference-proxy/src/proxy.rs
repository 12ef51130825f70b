//! One call: the health check, a relayed request, or one that is handed on to a proxy behind us.

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HOST},
    http::request::Parts,
};
use relay::{
    Answer, AnswerBody, Dialect, Granted, Handler, Received, RelayError, RequestBody, Tunnel,
    TunnelEnd, Upstream, headers, splice,
};
use std::time::Duration;

pub(crate) struct Proxy {
    upstream: Upstream,
    max_body_bytes: u64,
    idle: Duration,
}

impl Proxy {
    pub(crate) fn new(upstream: Upstream, max_body_bytes: u64, idle: Duration) -> Self {
        Self { upstream, max_body_bytes, idle }
    }

    async fn relay(
        &self,
        request: Request<Received>,
        dialect: Dialect,
    ) -> Result<Answer, RelayError> {
        let (mut head, body) = request.into_parts();
        if head.method == Method::CONNECT {
            return self.connect(&head).await;
        }
        if head.uri.scheme().is_some() {
            return self.forward(head, body).await;
        }
        // Whoever is behind the upstream knows its own keys. A client's are none of its business.
        headers::strip_credentials(&mut head.headers);
        let body = RequestBody::streamed(body, self.max_body_bytes)?;
        let answer = self.upstream.send(Request::from_parts(head, body), dialect).await?;
        Ok(answer.map(AnswerBody::from))
    }

    /// What a client says to the server that it names is its own affair, keys included; how much of
    /// it there may be is for the upstream to say.
    async fn forward(&self, head: Parts, body: Received) -> Result<Answer, RelayError> {
        let body = RequestBody::streamed(body, u64::MAX)?;
        let answer = self.upstream.pass(Request::from_parts(head, body)).await?;
        Ok(answer.map(AnswerBody::from))
    }

    /// The target and what its Host headers say cross, and nothing else.
    async fn connect(&self, head: &Parts) -> Result<Answer, RelayError> {
        let mut connect = Request::new(());
        *connect.method_mut() = Method::CONNECT;
        *connect.uri_mut() = head.uri.clone();
        let hosts = head.headers.get_all(HOST).iter().map(|host| (HOST, host.clone()));
        *connect.headers_mut() = hosts.fold(HeaderMap::new(), |mut hosts, (name, host)| {
            hosts.append(name, host);
            hosts
        });
        Ok(match self.upstream.tunnel(connect).await? {
            Granted::Tunnel(upstream) => {
                let idle = self.idle;
                Response::new(AnswerBody::Tunnel(Tunnel::new(move |client| {
                    through(client, upstream, idle)
                })))
            }
            Granted::Not(refusal) => refused(refusal),
        })
    }
}

async fn through(client: TunnelEnd, upstream: TunnelEnd, idle: Duration) {
    let allow = |_, _| Ok::<(), std::convert::Infallible>(());
    let end = splice(client, upstream, idle, allow).await;
    tracing::debug!(?end, "a tunnel ended");
}

fn refused(refusal: Response<Bytes>) -> Answer {
    let (mut head, body) = refusal.into_parts();
    let content_type = head.headers.remove(CONTENT_TYPE);
    let mut answer = Response::new(AnswerBody::Whole(body.into()));
    *answer.status_mut() = head.status;
    answer.headers_mut().extend(content_type.map(|value| (CONTENT_TYPE, value)));
    answer
}

impl Handler for Proxy {
    async fn handle(&self, request: Request<Received>) -> Answer {
        let path = request.uri().path();
        let is_own = request.uri().scheme().is_none();
        if is_own && path == "/healthz" && matches!(*request.method(), Method::GET | Method::HEAD) {
            return relay::plain(StatusCode::OK, "ok");
        }
        let dialect = Dialect::of(path);
        match self.relay(request, dialect).await {
            Ok(answer) => answer,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(code = error.code(), cause, "a call failed");
                relay::refusal(dialect, &error)
            }
        }
    }
}
