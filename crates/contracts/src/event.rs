//! The server-sent events of a job, and the id by which a reconnect resumes.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The names of the events, as in the stream's `event:` lines.
pub mod name {
    /// Data: a `JobView` without result.
    pub const STATE: &str = "state";
    /// Data: an [`super::OutputChunk`].
    pub const STDOUT: &str = "stdout";
    pub const STDERR: &str = "stderr";
    /// Data: the `JobView` with its result or problem. The stream ends after it.
    pub const END: &str = "end";
}

/// A piece of captured output. Text is given as text; bytes that are not UTF-8 as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputChunk {
    /// Where the piece starts in its stream, in bytes.
    pub offset: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

/// An event's id: how much of each stream the reader has seen after it, as `stdout-stderr`.
///
/// The id is a position and not a counter, so it stays true across reconnects and restarts without
/// a log of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    pub stdout: u64,
    pub stderr: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stdout, self.stderr)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is two byte counts joined by a dash")]
pub struct PositionError;

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (stdout, stderr) = text.split_once('-').ok_or(PositionError)?;
        let number = |part: &str| part.parse::<u64>().map_err(|_| PositionError);
        let position = Self { stdout: number(stdout)?, stderr: number(stderr)? };
        // Numbers have spellings that no id of ours has, `+1` and `01` among them.
        if position.to_string() == text { Ok(position) } else { Err(PositionError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let position = Position { stdout: 7, stderr: 262_144 };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn a_made_up_id_is_refused() {
        for text in
            ["", "1", "-", "1-", "a-b", "1-2-3", "-1-2", "+1-2", "01-2", "99999999999999999999-0"]
        {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }
}
