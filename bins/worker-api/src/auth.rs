//! Who may ask: whoever holds the token.

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HOST, ORIGIN},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The token as a digest: comparing digests takes the same time for every wrong token, whatever its
/// length, and a dump of this struct tells nobody the token.
pub(crate) struct Token([u8; 32]);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        // Of two credentials it would be anybody's guess which counts.
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let bytes = value.as_bytes();
        let Some((scheme, token)) = bytes.split_at_checked(7) else {
            return false;
        };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        digest.ct_eq(&self.0).into()
    }
}

/// Whether a request without a token comes from a program on this host, and not from a page in a
/// browser on it: pages tell their origin, and a name that was bent to loopback is no name of it.
pub(crate) fn is_local_program(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next())
    else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let local = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    let of_a_page = headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site");
    local && !of_a_page && !headers.contains_key(AUTHORIZATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_only_programs_on_this_host_are_admitted() {
        let admits = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            is_local_program(&headers)
        };
        for host in ["127.0.0.1:9190", "localhost:9190", "localhost", "[::1]:9190", "[::1]"] {
            assert!(admits(&[("host", host)]), "{host}");
        }
        for host in ["evil.example:9190", "127.0.0.1.evil.example", "", "node", "localhost:x"] {
            assert!(!admits(&[("host", host)]), "{host}");
        }
        assert!(!admits(&[]));
        let local = ("host", "localhost");
        assert!(!admits(&[local, local]));
        assert!(!admits(&[local, ("origin", "http://localhost:9190")]));
        assert!(!admits(&[local, ("sec-fetch-site", "cross-site")]));
        assert!(!admits(&[local, ("authorization", "Bearer wrong")]), "a wrong token stays wrong");
    }

    fn admits(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        Token::new("secret").admits(&headers)
    }

    #[test]
    fn only_the_token_itself_is_admitted() {
        assert!(admits(&["Bearer secret"]));
        assert!(admits(&["bearer secret"]));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret"]
        {
            assert!(!admits(&[wrong]), "{wrong:?}");
        }
        assert!(!admits(&[]));
        assert!(!admits(&["Bearer secret", "Bearer secret"]));
    }
}
