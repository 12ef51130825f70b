//! A handler that answers to one name only: whoever comes by way of TLS has said whom it wants.

use crate::{Answer, Dialect, Handler, Received, RelayError, answer::refusal, request::Refusal};
use hyper::{Request, header::HOST};
use std::sync::Arc;

pub(super) struct Named<H> {
    pub(super) handler: Arc<H>,
    pub(super) name: &'static str,
}

impl<H: Handler> Handler for Named<H> {
    async fn handle(&self, request: Request<Received>) -> Answer {
        let host = request.headers().get(HOST).map_or(&b""[..], |host| host.as_bytes());
        match is_of(host, self.name) {
            true => self.handler.handle(request).await,
            false => {
                refusal(Dialect::of(request.uri().path()), &RelayError::Refused(Refusal::Host))
            }
        }
    }
}

/// Whether a `Host` is the name, with HTTPS's own port or none.
fn is_of(host: &[u8], name: &str) -> bool {
    let host = host.strip_suffix(b":443").unwrap_or(host);
    host.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_itself_is_the_name() {
        for host in ["inference.local", "Inference.LOCAL", "inference.local:443"] {
            assert!(is_of(host.as_bytes(), "inference.local"), "{host}");
        }
        for host in [
            "",
            "localhost",
            "a.inference.local",
            "inference.local.",
            "inference.local:444",
            "inference.local:443:443",
            "127.0.0.1",
        ] {
            assert!(!is_of(host.as_bytes(), "inference.local"), "{host}");
        }
    }
}
