//! What a file must be, by the word of its registry, and whether it is.

use sha2::{Digest, Sha256, Sha512};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
    /// Its reader checks it, and has what it needs for that.
    Nothing,
}

/// A file that is looked at as it arrives.
pub(super) enum Checking {
    Sha256(Sha256, Vec<u8>),
    Sha512(Sha512, Vec<u8>),
    Nothing,
}

impl Check {
    /// Of a hash that was found to be one.
    pub(super) fn sha256(hex: &str) -> Self {
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
        Self::Sha256(
            hex.as_bytes().chunks(2).map(|two| digit(two[0]) << 4 | digit(two[1])).collect(),
        )
    }

    pub(super) fn begin(self) -> Checking {
        match self {
            Self::Sha256(expected) => Checking::Sha256(Sha256::new(), expected),
            Self::Sha512(expected) => Checking::Sha512(Sha512::new(), expected),
            Self::Nothing => Checking::Nothing,
        }
    }
}

impl Checking {
    pub(super) fn see(&mut self, data: &[u8]) {
        match self {
            Self::Sha256(hash, _) => hash.update(data),
            Self::Sha512(hash, _) => hash.update(data),
            Self::Nothing => {}
        }
    }

    pub(super) fn agrees(self) -> bool {
        match self {
            Self::Sha256(hash, expected) => hash.finalize().as_slice() == expected,
            Self::Sha512(hash, expected) => hash.finalize().as_slice() == expected,
            Self::Nothing => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_byte_is_another_file() {
        let hash = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let agrees = |data: &[u8]| {
            let mut checking = Check::sha256(hash).begin();
            data.chunks(1).for_each(|byte| checking.see(byte));
            checking.agrees()
        };
        assert!(agrees(b"foo"));
        assert!(!agrees(b"fob") && !agrees(b"") && !agrees(b"foo "));
    }
}
