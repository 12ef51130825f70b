//! Who may ask: whoever holds the token.

use hyper::{HeaderMap, header::AUTHORIZATION};
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

#[cfg(test)]
mod tests {
    use super::*;

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
