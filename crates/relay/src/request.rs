//! What a request's head must be like before anybody looks at what it asks for.

use hyper::{
    Method, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
    http::request::Parts,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two readers could disagree on where it ends.
    #[error("its framing is ambiguous")]
    Framing,
    /// A cut answer can't be told from a complete one there.
    #[error("HTTP/1.0 is not spoken here")]
    Version,
    #[error("the method is not allowed")]
    Method,
    #[error("the connection can't be upgraded")]
    Upgrade,
    /// It asks for a proxy, names a user, or is `*`.
    #[error("the target must be a plain path")]
    Target,
    #[error("the path holds a control character")]
    Path,
    #[error("there must be one host, and a plain one")]
    Host,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Framing => "ambiguous_framing",
            Self::Version => "http_version",
            Self::Method => "method_not_allowed",
            Self::Upgrade => "upgrade_refused",
            Self::Target => "invalid_target",
            Self::Path => "invalid_path",
            Self::Host => "invalid_host",
        }
    }
}

/// Which requests are looked at further at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forms {
    /// To this server.
    #[default]
    Own,
    /// To a proxy too: CONNECT and absolute URIs. Where they may go is for somebody else to judge.
    Forwarded,
}

/// Whether the head is one that can be relayed at all. Its framing was looked at as it came in.
pub fn check(head: &Parts, forms: Forms) -> Result<(), Refusal> {
    let is_connect = head.method == Method::CONNECT;
    match forms {
        Forms::Forwarded if is_connect => check_connect(head),
        Forms::Forwarded if head.uri.scheme().is_some() => check_absolute(head),
        _ => check_own(head),
    }
}

/// Its version may be the old one, which Python's own client has: no body's end depends on it.
fn check_connect(head: &Parts) -> Result<(), Refusal> {
    if ![Version::HTTP_10, Version::HTTP_11].contains(&head.version) {
        return Err(Refusal::Version);
    }
    // What follows its head is the tunnel's.
    if head.headers.contains_key(CONTENT_LENGTH) || head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::Framing);
    }
    Ok(())
}

fn check_absolute(head: &Parts) -> Result<(), Refusal> {
    if head.version != Version::HTTP_11 {
        return Err(Refusal::Version);
    }
    if head.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    check_upgrade(head)
}

fn check_own(head: &Parts) -> Result<(), Refusal> {
    if head.version != Version::HTTP_11 {
        return Err(Refusal::Version);
    }
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(Refusal::Method);
    }
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(Refusal::Target);
    }
    let path = head.uri.path();
    if !path.starts_with('/') {
        return Err(Refusal::Target);
    }
    if hides_control(path.as_bytes()) {
        return Err(Refusal::Path);
    }
    check_host(head)?;
    check_upgrade(head)
}

fn check_upgrade(head: &Parts) -> Result<(), Refusal> {
    // Some libraries offer HTTP/2 with every request and don't mind if nobody takes it up.
    let upgrades = head.headers.get_all(UPGRADE).iter();
    let mut protocols = upgrades.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if protocols.any(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c")) {
        return Err(Refusal::Upgrade);
    }
    Ok(())
}

fn check_host(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Host) };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte);
    if host.as_bytes().iter().all(plain) { Ok(()) } else { Err(Refusal::Host) }
}

/// A control character, as such or once decoded.
fn hides_control(path: &[u8]) -> bool {
    let encoded = |window: &[u8]| match window {
        [b'%', high, low] => {
            matches!(high, b'0' | b'1') && low.is_ascii_hexdigit()
                || *high == b'7' && low.eq_ignore_ascii_case(&b'f')
        }
        _ => false,
    };
    path.iter().any(u8::is_ascii_control) || path.windows(3).any(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn judged(
        build: impl FnOnce(hyper::http::request::Builder) -> hyper::http::request::Builder,
    ) -> Result<(), Refusal> {
        let request = build(Request::builder().uri("/v1/models")).body(()).unwrap();
        let (mut head, ()) = request.into_parts();
        if !head.headers.contains_key("x-no-host") {
            head.headers.append(HOST, "localhost:11434".parse().unwrap());
        }
        check(&head, Forms::Own)
    }

    #[test]
    fn a_plain_request_passes() {
        assert_eq!(judged(|request| request), Ok(()));
        assert_eq!(judged(|request| request.uri("/a?beta=true&x=%0a")), Ok(()));
        assert_eq!(judged(|request| request.header(UPGRADE, "h2c")), Ok(()));
    }

    #[test]
    fn what_is_not_plain_is_refused_with_its_reason() {
        for (target, refusal) in [
            ("http://evil.test/v1/models", Refusal::Target),
            ("http://user@localhost/v1/models", Refusal::Target),
            ("evil.test:443", Refusal::Target),
            ("*", Refusal::Target),
            ("/a%00b", Refusal::Path),
            ("/a%0D%0Ab", Refusal::Path),
            ("/a%7Fb", Refusal::Path),
        ] {
            assert_eq!(judged(|request| request.uri(target)), Err(refusal), "{target}");
        }
        assert_eq!(judged(|request| request.method("TRACE")), Err(Refusal::Method));
        assert_eq!(judged(|request| request.version(Version::HTTP_10)), Err(Refusal::Version));
        assert_eq!(judged(|request| request.header(UPGRADE, "websocket")), Err(Refusal::Upgrade));
        assert_eq!(judged(|request| request.header(UPGRADE, "h2c, ws")), Err(Refusal::Upgrade));
        assert_eq!(judged(|request| request.header(HOST, "second")), Err(Refusal::Host));
        assert_eq!(judged(|request| request.header("x-no-host", "1")), Err(Refusal::Host));
        let user = |request: hyper::http::request::Builder| {
            request.header("x-no-host", "1").header(HOST, "user@localhost")
        };
        assert_eq!(judged(user), Err(Refusal::Host));
    }

    fn forwarded(
        method: &str,
        uri: &str,
        version: Version,
        more: &[(&str, &str)],
    ) -> Option<Refusal> {
        let mut request = Request::builder().method(method).uri(uri).version(version);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, Forms::Forwarded).err()
    }

    #[test]
    fn a_proxy_is_asked_in_two_more_forms() {
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(forwarded("CONNECT", "a.test:443", version, &[]), None);
        }
        assert_eq!(forwarded("GET", "http://a.test/b", Version::HTTP_11, &[]), None);
        for (method, uri, version, header, refusal) in [
            ("CONNECT", "a.test:443", Version::HTTP_11, ("content-length", "0"), Refusal::Framing),
            (
                "CONNECT",
                "a.test:443",
                Version::HTTP_11,
                ("transfer-encoding", "a"),
                Refusal::Framing,
            ),
            ("GET", "http://a.test/", Version::HTTP_10, ("a", "b"), Refusal::Version),
            ("TRACE", "http://a.test/", Version::HTTP_11, ("a", "b"), Refusal::Method),
            ("GET", "http://a.test/", Version::HTTP_11, ("upgrade", "websocket"), Refusal::Upgrade),
            ("GET", "/own", Version::HTTP_11, ("a", "b"), Refusal::Host),
        ] {
            assert_eq!(forwarded(method, uri, version, &[header]), Some(refusal), "{method} {uri}");
        }
    }
}
