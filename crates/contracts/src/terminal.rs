//! Terminals in sessions, as their callers see them.

use crate::{
    Faults, TerminalId,
    link::terminal::Size,
    sandbox::{check_command, check_env},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Of a terminal whose size nobody told, as terminals have been for fifty years.
const USUAL: Size = Size { rows: 24, cols: 80 };

/// Some programs allocate by these.
pub const MAX_SIDE: u16 = 1000;

/// `POST /sessions/{id}/terminals`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TerminalRequest {
    /// A shell, if it is empty.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub rows: u16,
    pub cols: u16,
}

impl Default for TerminalRequest {
    fn default() -> Self {
        let Size { rows, cols } = USUAL;
        Self { command: Vec::new(), env: BTreeMap::new(), rows, cols }
    }
}

impl TerminalRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        check_command("command", &self.command, &mut faults);
        check_env("env", &self.env, &mut faults);
        check_size(self.size(), &mut faults);
        faults.into_result()
    }

    pub fn size(&self) -> Size {
        Size { rows: self.rows, cols: self.cols }
    }
}

fn check_size(size: Size, faults: &mut Faults) {
    for (field, side) in [("rows", size.rows), ("cols", size.cols)] {
        let within = (1..=MAX_SIDE).contains(&side);
        faults.require(within, field, format!("must be 1 to {MAX_SIDE}"));
    }
}

/// How the program on a terminal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalExit {
    Code(i32),
    Signal(i32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TerminalView {
    pub terminal_id: TerminalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<TerminalExit>,
    pub rows: u16,
    pub cols: u16,
    /// What of the output is there to be replayed.
    pub from: u64,
    pub to: u64,
    /// Who looks at it now.
    pub attached: usize,
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TerminalList {
    pub terminals: Vec<TerminalView>,
}

/// A text frame from who looks at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum TerminalControl {
    Resize(Size),
    Signal(TerminalSignal),
}

impl TerminalControl {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if let Self::Resize(size) = self {
            check_size(*size, &mut faults);
        }
        faults.into_result()
    }
}

/// What a person may send to what is in the foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TerminalSignal {
    Hup,
    Int,
    Quit,
    Kill,
    Term,
    Cont,
    Tstp,
}

impl TerminalSignal {
    pub fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Term => 15,
            Self::Cont => 18,
            Self::Tstp => 20,
        }
    }
}

/// A text frame to who looks at a terminal. Binary frames are its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalNote {
    /// The first frame: the output that follows begins at this position.
    Terminal { id: TerminalId, from: u64 },
    /// Output was left out, for who looked too slowly or came too late: it goes on at this position.
    Gap { from: u64 },
    /// The last frame.
    Exit(TerminalExit),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_what_the_documents_say() {
        let control = |text| serde_json::from_str::<TerminalControl>(text);
        let size = Size { rows: 3, cols: 4 };
        assert_eq!(
            control(r#"{"resize":{"rows":3,"cols":4}}"#).unwrap(),
            TerminalControl::Resize(size)
        );
        let int = control(r#"{"signal":"INT"}"#).unwrap();
        assert_eq!(int, TerminalControl::Signal(TerminalSignal::Int));
        for wrong in [r#"{"signal":"SEGV"}"#, r#"{"resize":{"rows":3}}"#, "{}", "1", r#"{"x":1}"#] {
            assert!(control(wrong).is_err(), "{wrong}");
        }
        let huge = TerminalControl::Resize(Size { rows: 65535, cols: 1 });
        assert!(huge.validate().is_err());
        let note = TerminalNote::Exit(TerminalExit::Code(3));
        assert_eq!(serde_json::to_string(&note).unwrap(), r#"{"exit":{"code":3}}"#);
    }
}
