//! Packages: the registries that a sandbox may install from, and names that are safe to hand to their
//! clients.

use serde::{Deserialize, Serialize};

/// A registry whose packages the node fetches, checks and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    Pypi,
    Npm,
    Debian,
}

impl Registry {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Debian => "debian",
        }
    }
}

/// Some of the registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registries(u8);

impl Registries {
    pub fn holds(self, registry: Registry) -> bool {
        self.0 & Self::of(registry).0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Registry> {
        let all = [Registry::Pypi, Registry::Npm, Registry::Debian];
        all.into_iter().filter(move |registry| self.holds(*registry))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// Bits of no registry are not kept.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111)
    }

    fn of(registry: Registry) -> Self {
        Self(1 << registry as u8)
    }
}

impl FromIterator<Registry> for Registries {
    fn from_iter<T: IntoIterator<Item = Registry>>(registries: T) -> Self {
        registries.into_iter().fold(Self::default(), |all, one| all.and(Self::of(one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_what_was_put_in() {
        let some: Registries = [Registry::Npm, Registry::Debian, Registry::Npm].into_iter().collect();
        assert!(some.holds(Registry::Npm) && some.holds(Registry::Debian));
        assert!(!some.holds(Registry::Pypi) && !some.is_empty());
        assert_eq!(Registries::from_bits(some.bits()), some);
        assert_eq!(some.iter().collect::<Vec<_>>(), [Registry::Npm, Registry::Debian]);
        assert!(Registries::default().is_empty());
    }
}
