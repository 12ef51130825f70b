//! A key in memory: in one place, wiped when its last user lets go of it, and without a text form.

use bytes::Bytes;
use http::{HeaderValue, header::InvalidHeaderValue};
use std::fmt;
use zeroize::Zeroizing;

/// Clones share the one place. Nothing here gives the bytes to a formatter or a serialiser.
#[derive(Clone)]
pub struct Secret(Bytes);

impl Secret {
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }

    #[cfg(test)]
    pub(crate) fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// What a provider is shown. The value's clones share one place too, which is wiped after the
    /// last of them; debug output says `Sensitive`.
    pub(crate) fn header(&self, scheme: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        // As large as it gets: a vector that grows leaves a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(scheme.len() + self.0.len()));
        text.extend_from_slice(scheme.as_bytes());
        text.extend_from_slice(&self.0);
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::new(Zeroizing::new(b"planted-key".to_vec()));
        let header = secret.header("Bearer ").unwrap();
        assert_eq!(header.as_bytes(), b"Bearer planted-key");
        for text in [format!("{secret:?}"), format!("{secret}"), format!("{header:?}")] {
            assert!(!text.contains("planted"), "{text}");
        }
    }

    #[test]
    fn clones_share_one_place() {
        let secret = Secret::new(Zeroizing::new(b"planted-key".to_vec()));
        let header = secret.header("Bearer ").unwrap();
        assert_eq!(secret.reveal().as_ptr(), secret.clone().reveal().as_ptr());
        assert_eq!(header.as_bytes().as_ptr(), header.clone().as_bytes().as_ptr());
    }
}
