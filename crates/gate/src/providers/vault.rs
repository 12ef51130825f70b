//! What the database may hold of a key: sealed for one place in it, and useless in another.

use super::{
    key::{MasterKey, fill},
    secret::Secret,
};
use chacha20poly1305::{AeadInPlace, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Tells which way of sealing it was.
const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("there is no randomness to seal a key with")]
    Random(#[source] std::io::Error),
    #[error("the key can't be sealed")]
    Seal,
    #[error("what is stored is not what was sealed here")]
    Open,
}

/// Where in the database something is sealed.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub column: &'static str,
    pub name: &'a str,
    pub revision: u64,
}

/// On the heap, where the cipher's key stays; it is wiped with it.
pub struct Vault(Box<XChaCha20Poly1305>);

impl Vault {
    pub fn new(key: &MasterKey) -> Self {
        Self(Box::new(XChaCha20Poly1305::new(Key::from_slice(key.bytes()))))
    }

    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        fill(&mut nonce).map_err(VaultError::Random)?;
        let mut text = Zeroizing::new(secret.to_vec());
        let sealed =
            self.0.encrypt_in_place_detached(XNonce::from_slice(&nonce), &place.bytes(), &mut text);
        let tag = sealed.map_err(|_| VaultError::Seal)?;
        Ok([&[FORMAT], nonce.as_slice(), &text, tag.as_slice()].concat())
    }

    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret, VaultError> {
        let (format, rest) = sealed.split_first().ok_or(VaultError::Open)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_BYTES).ok_or(VaultError::Open)?;
        let length = rest.len().checked_sub(TAG_BYTES).ok_or(VaultError::Open)?;
        let (text, tag) = rest.split_at(length);
        if *format != FORMAT {
            return Err(VaultError::Open);
        }
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.0.decrypt_in_place_detached(
            XNonce::from_slice(nonce),
            &place.bytes(),
            &mut text,
            Tag::from_slice(tag),
        );
        opened.map_err(|_| VaultError::Open)?;
        Ok(Secret::new(text))
    }
}

impl Place<'_> {
    /// No column and no name holds a NUL, so two places never read the same.
    fn bytes(self) -> Vec<u8> {
        let Self { column, name, revision } = self;
        format!("pinfold\0{column}\0{name}\0{revision}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::KeySource;

    const PLACE: Place<'static> = Place { column: "credential", name: "a", revision: 1 };

    fn vault(digit: &str) -> Vault {
        let source = KeySource::Given(digit.repeat(64).into());
        Vault::new(&source.read(true).unwrap())
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let sealed = vault("1").seal(PLACE, b"planted-key").unwrap();
        assert_eq!(vault("1").open(PLACE, &sealed).unwrap().reveal(), b"planted-key");
        for elsewhere in [
            Place { name: "b", ..PLACE },
            Place { revision: 2, ..PLACE },
            Place { column: "check", ..PLACE },
        ] {
            assert!(vault("1").open(elsewhere, &sealed).is_err(), "{elsewhere:?}");
        }
        assert!(vault("2").open(PLACE, &sealed).is_err());
    }

    #[test]
    fn no_changed_byte_goes_unseen() {
        let vault = vault("1");
        let sealed = vault.seal(PLACE, b"planted-key").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(PLACE, &changed).is_err(), "byte {at}");
            assert!(vault.open(PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_same_key_never_seals_to_the_same_bytes() {
        let vault = vault("1");
        let [one, two] = [(); 2].map(|()| vault.seal(PLACE, b"planted-key").unwrap());
        assert_ne!(one, two);
        assert!(!one.windows(7).any(|window| window == b"planted"));
    }
}
