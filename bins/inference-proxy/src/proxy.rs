//! One call: the health check, or a relayed request.

use hyper::{Method, Request, StatusCode, body::Incoming};
use relay::{Answer, AnswerBody, Dialect, Handler, RelayError, RequestBody, Upstream, headers};

pub(crate) struct Proxy {
    upstream: Upstream,
    max_body_bytes: u64,
}

impl Proxy {
    pub(crate) fn new(upstream: Upstream, max_body_bytes: u64) -> Self {
        Self { upstream, max_body_bytes }
    }

    async fn relay(
        &self,
        request: Request<Incoming>,
        dialect: Dialect,
    ) -> Result<Answer, RelayError> {
        let (mut head, body) = request.into_parts();
        // Whoever is behind the upstream knows its own keys. A client's are none of its business.
        headers::strip_credentials(&mut head.headers);
        let body = RequestBody::streamed(body, self.max_body_bytes)?;
        let answer = self.upstream.send(Request::from_parts(head, body), dialect).await?;
        Ok(answer.map(AnswerBody::from))
    }
}

impl Handler for Proxy {
    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if path == "/healthz" && matches!(*request.method(), Method::GET | Method::HEAD) {
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
