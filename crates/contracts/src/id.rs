//! Names that callers choose, and those that we draw.
//!
//! A caller's id ends up in container labels, log lines and URL paths, so its alphabet is closed:
//! letters, digits, `.`, `_` and `-`, not starting with `.` or `-`, at most 128 characters.
//! Nothing is ever derived from it that could become a host path.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest id that a caller may choose. Bounds labels, log lines and index keys.
pub const MAX_ID_CHARS: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {MAX_ID_CHARS} characters")]
    TooLong,
    #[error(
        "may hold only letters, digits, `.`, `_` and `-`, and must start with a letter or digit"
    )]
    Alphabet,
}

fn check(text: &str) -> Result<(), IdError> {
    let first = text.chars().next().ok_or(IdError::Empty)?;
    if text.len() > MAX_ID_CHARS {
        return Err(IdError::TooLong);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !first.is_ascii_alphanumeric() || !text.chars().all(allowed) {
        return Err(IdError::Alphabet);
    }
    Ok(())
}

macro_rules! caller_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

caller_id!(
    /// The orchestrator's task. Many jobs may share one.
    TaskId
);
caller_id!(
    /// The orchestrator's job: the key of idempotency on a node.
    JobId
);
caller_id!(
    /// A session that outlives its calls.
    SessionId
);
caller_id!(
    /// One piece of code in a session: the key of its idempotency there.
    CellId
);
caller_id!(
    /// A terminal in a session.
    TerminalId
);
caller_id!(
    /// A provider of models, as the operator calls it.
    ProviderName
);
caller_id!(
    /// A template of sessions, as the operator calls it.
    TemplateName
);
caller_id!(
    /// One sandbox, drawn by the node: 32 hexadecimal digits, unguessable and never used twice.
    SandboxId
);

macro_rules! drawn_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Makes the id from 16 bytes that the caller drew at random.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
            }
        }
    )*};
}

drawn_id!(SandboxId, SessionId, CellId, TerminalId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_production_and_of_features_are_accepted() {
        for id in ["bdd-task", "0e8f7a52-3c0c-4c38-9f0e-0d1c2b3a4958", "a", "job_1.2"] {
            assert!(JobId::new(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn ids_that_could_be_a_path_an_option_or_a_control_are_refused() {
        let long = "x".repeat(300);
        for id in ["", ".", "..", "a/b", "../x", "-rf", "a\0b", "a b", "a\nb", "ä", &long] {
            assert!(JobId::new(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_bad_id_in_json_names_the_rule() {
        let error = serde_json::from_str::<TaskId>("\"a/b\"").unwrap_err();
        assert!(error.to_string().contains("may hold only letters"), "{error}");
    }
}
