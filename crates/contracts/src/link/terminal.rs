//! Terminals on the link: programs that talk to a person, and what they wrote last.
//!
//! A terminal's output has no end of its own and no cap. The agent keeps the last of it; positions
//! count all of it. Each side gives the other only so much at a time: output goes on when the host has
//! seen what came before, and input when the program has taken it.
//!
//! ```text
//!   agent                            host
//!     │◄───────── Start ──────────────│
//!     │── Output at 0 … WINDOW ──────►│
//!     │◄───────── Seen ───────────────│   and so on from there
//!     │◄───────── Input ──────────────│   at most INPUT_BYTES that were not taken
//!     │── Taken ─────────────────────►│
//!     │── Ended ─────────────────────►│   behind the last of the output
//! ```

use super::{Command, End};
use crate::TerminalId;
use serde::{Deserialize, Serialize};

/// Terminals that one sandbox may have, those that ended included.
pub const MAX_TERMINALS: usize = 8;

/// The last of a terminal's output, which the agent keeps, and the host too.
pub const SCROLLBACK_BYTES: usize = 256 << 10;

/// Output that may be under way. Less than what is kept, so that none of it is ever dropped unsent.
pub const WINDOW_BYTES: u64 = 64 << 10;

/// Input that may be under way.
pub const INPUT_BYTES: u64 = 64 << 10;

/// In characters. A program is told no other sizes than these allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub rows: u16,
    pub cols: u16,
}

/// A terminal that the agent knows of, as it says after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalStatus {
    pub terminal: TerminalId,
    /// Where the output that is kept begins.
    pub from: u64,
    /// Input that came, and what the program took of it.
    pub given: u64,
    pub taken: u64,
    pub size: Size,
}

/// Messages about terminals to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTerminals {
    Start {
        terminal: TerminalId,
        command: Command,
        size: Size,
    },
    Input {
        terminal: TerminalId,
        #[serde(with = "super::bytes")]
        data: Vec<u8>,
    },
    Resize {
        terminal: TerminalId,
        size: Size,
    },
    /// To whoever is in the foreground, as from the keyboard.
    Signal {
        terminal: TerminalId,
        signal: i32,
    },
    /// The host has the output up to here.
    Seen {
        terminal: TerminalId,
        to: u64,
    },
    /// Kills what runs on it, and forgets it.
    End {
        terminal: TerminalId,
    },
}

/// What the agent says of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTerminals {
    Output {
        terminal: TerminalId,
        at: u64,
        #[serde(with = "super::bytes")]
        data: Vec<u8>,
    },
    /// So much of the input was taken, in all.
    Taken {
        terminal: TerminalId,
        bytes: u64,
    },
    Ended {
        terminal: TerminalId,
        end: End,
    },
}
