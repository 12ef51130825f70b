//! Landlock: what a node asks of it, and what of that a sandbox has.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether the code in a sandbox is fenced by Landlock besides everything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LandlockMode {
    Off,
    /// As far as the kernel goes; how far that is, is told.
    #[default]
    BestEffort,
    /// Nothing runs on a kernel without it.
    Hard,
}

impl LandlockMode {
    pub const ALL: [Self; 3] = [Self::Off, Self::BestEffort, Self::Hard];

    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::BestEffort => "best_effort",
            Self::Hard => "hard",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// What the agent fences its commands with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Landlock {
    /// Nobody asked for it.
    Off,
    /// By this version of the kernel's interface.
    Abi(u32),
    /// The kernel answers with this errno.
    Missing(i32),
}

impl Landlock {
    pub fn is_enforced(self) -> bool {
        matches!(self, Self::Abi(_))
    }
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NOT_BUILT_IN: i32 = 38;
        const NOT_ENABLED: i32 = 95;
        match self {
            Self::Off => f.write_str("off"),
            Self::Abi(version) => write!(f, "abi {version}"),
            Self::Missing(NOT_BUILT_IN) => f.write_str("none: the kernel has none"),
            Self::Missing(NOT_ENABLED) => f.write_str("none: the kernel was booted without it"),
            Self::Missing(errno) => write!(f, "none: the kernel refuses it (errno {errno})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_found_by_its_name() {
        for mode in LandlockMode::ALL {
            assert_eq!(LandlockMode::named(mode.name()), Some(mode));
        }
        assert_eq!(LandlockMode::named("soft"), None);
    }

    #[test]
    fn only_a_version_counts_as_enforced() {
        for (landlock, enforced, text) in [
            (Landlock::Off, false, "off"),
            (Landlock::Abi(6), true, "abi 6"),
            (Landlock::Missing(38), false, "none: the kernel has none"),
            (Landlock::Missing(95), false, "none: the kernel was booted without it"),
            (Landlock::Missing(1), false, "none: the kernel refuses it (errno 1)"),
        ] {
            assert_eq!((landlock.is_enforced(), &*landlock.to_string()), (enforced, text));
        }
    }
}
