//! Which headers may cross, in each direction.

use hyper::{HeaderMap, header::CONNECTION, header::HeaderName};

/// Speaks of one connection only, and ends with it (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Opens something for whoever holds it: the gate puts the right one in, or nobody does.
fn is_credential(name: &str) -> bool {
    matches!(
        name,
        "api-key"
            | "authorization"
            | "cookie"
            | "cookie2"
            | "proxy-authorization"
            | "x-amz-security-token"
            | "x-api-key"
            | "x-goog-api-key"
    )
}

/// Names that may cross; one that ends with `*` allows all that begin so.
#[derive(Debug, Clone, Copy)]
pub struct AllowList(&'static [&'static str]);

/// What a client may tell a provider.
pub const REQUEST: AllowList = AllowList(&[
    "accept",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "idempotency-key",
    "openai-beta",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-stainless-*",
]);

/// What a provider may tell a client. Its organisation, cookies and server are not the client's.
pub const RESPONSE: AllowList = AllowList(&[
    "anthropic-ratelimit-*",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "openai-processing-ms",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-pinfold-*",
    "x-ratelimit-*",
    "x-request-id",
    "x-should-retry",
]);

impl AllowList {
    pub const fn new(names: &'static [&'static str]) -> Self {
        Self(names)
    }

    pub fn allows(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.as_str().starts_with(prefix),
            None => name.as_str() == *allowed,
        })
    }

    /// Removes what is not allowed.
    pub fn apply(&self, headers: &mut HeaderMap) {
        remove_all(headers, |name| !self.allows(name));
    }
}

/// Removes what ends with this connection, and what the sender nominated to end with it.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    remove_all(headers, |name| is_hop_by_hop(name.as_str()));
}

fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

pub fn strip_credentials(headers: &mut HeaderMap) {
    remove_all(headers, |name| is_credential(name.as_str()));
}

/// Goes over the names that are there: to ask for each that must not be takes several times as long.
fn remove_all(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let going: Vec<_> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in going {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn map(names: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        names.iter().map(pair).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_the_sender_nominates_ends_with_the_connection() {
        let mut headers =
            map(&[("connection", "X-Secret ,te"), ("x-secret", "1"), ("te", "a"), ("accept", "b")]);
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive,, x-too"));
        headers.insert("x-too", HeaderValue::from_static("2"));
        headers.insert("upgrade", HeaderValue::from_static("h2c"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["accept"]);
    }

    #[test]
    fn no_credential_crosses() {
        let mut headers = map(&[
            ("authorization", "Bearer x"),
            ("x-api-key", "x"),
            ("api-key", "x"),
            ("cookie", "x"),
            ("proxy-authorization", "x"),
            ("x-goog-api-key", "x"),
            ("anthropic-version", "2023-06-01"),
        ]);
        strip_credentials(&mut headers);
        assert_eq!(names(&headers), ["anthropic-version"]);
    }

    #[test]
    fn only_what_is_listed_crosses() {
        let mut headers = map(&[
            ("x-stainless-lang", "python"),
            ("x-stainles", "no"),
            ("content-type", "application/json"),
            ("openai-organization", "org"),
            ("host", "evil.test"),
        ]);
        REQUEST.apply(&mut headers);
        assert_eq!(names(&headers), ["content-type", "x-stainless-lang"]);

        let mut headers = map(&[
            ("set-cookie", "a=b"),
            ("server", "s"),
            ("openai-organization", "org"),
            ("x-ratelimit-remaining-tokens", "5"),
            ("retry-after", "7"),
        ]);
        RESPONSE.apply(&mut headers);
        assert_eq!(names(&headers), ["retry-after", "x-ratelimit-remaining-tokens"]);
    }
}
