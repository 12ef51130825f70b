//! Kernels on the link: interpreters that stay, and the cells that they run.
//!
//! A kernel is a process with two pipes beside its standard streams: requests come in on one
//! descriptor, events go out on another. A cell is a command like any other to the host: it has an
//! `ExecId`, output with offsets, an end, and it is kept until it is forgotten.
//!
//! ```text
//!   StartKernel ─► starting ─► idle ──Cell──► busy ──done──► idle
//!                     │          │              └── died, spoke nonsense ─► gone: the cell's end says so
//!                     └──────────┴── died ─► dead: the next cell's end says so, and ran nothing
//! ```

use super::{Command, ExecId};
use serde::{Deserialize, Serialize};

/// Kernels that one sandbox may have at a time.
pub const MAX_KERNELS: usize = 16;

/// Bytes of a kernel's name, and of a cell's.
pub const MAX_NAME_BYTES: usize = 256;

/// Bytes of one cell's code: it fits into a frame with its variables.
pub const MAX_CODE_BYTES: usize = 768 << 10;

/// Bytes of rich results that one cell may deliver.
pub const MAX_DISPLAY_BYTES: u64 = 8 << 20;

/// Bytes of standard input that one cell may be given in all. The agent keeps what was not read yet,
/// and this is less than what makes it stop listening.
pub const MAX_STDIN_BYTES: u64 = 768 << 10;

/// The descriptors that a kernel's driver finds open.
pub const REQUESTS_FD: i32 = 3;
pub const EVENTS_FD: i32 = 4;

/// What the agent gives a driver to read: fields that each end with a NUL, three to a request.
pub mod request {
    /// `cell`; the cell's number, `rich` or `plain`, the dialect, and what standard input is, with a
    /// space between; the code.
    pub const CELL: &str = "cell";
    /// `env`, a variable's name, its value.
    pub const ENV: &str = "env";
    /// `interrupt` and two empty fields: for a driver that no signal reaches.
    pub const INTERRUPT: &str = "interrupt";
}

/// What a driver may say: a word, a space, and the rest of the line.
pub mod event {
    /// A rich result as JSON, which the agent passes on as it is.
    pub const DISPLAY: &str = "display";
    /// The cell's number and its exit code.
    pub const DONE: &str = "done";
}

/// Code for a kernel to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    pub kernel: String,
    /// For a kernel that knows more than one language.
    pub dialect: String,
    /// The host's own name for it, told back after a reconnect.
    pub name: String,
    pub code: String,
    /// Variables set in the kernel before it.
    pub env: Vec<(String, String)>,
    /// Rich results are wanted.
    pub rich: bool,
    pub input: Input,
    pub output_bytes: u64,
    pub display_bytes: u64,
    /// Bytes over all streams after which the cell is interrupted as a flood.
    pub flood_bytes: u64,
    /// As a command's: interrupted first, and killed with its kernel if that does not help.
    pub backstop_ms: u64,
}

/// What a cell reads from its standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The end, at once.
    #[default]
    None,
    /// What the host sends, and then the end.
    Given,
    /// What somebody types who is told when the code asks.
    Open,
}

impl Input {
    /// As a driver is told it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Given => "given",
            Self::Open => "open",
        }
    }
}

/// How a kernel came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelEnd {
    Code(i32),
    Signal(i32),
    /// It closed its control pipes or wrote nonsense to them, and was killed.
    Protocol,
}

/// Messages about kernels to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKernels {
    /// Replaces one of the same name, whose processes are killed.
    Start {
        kernel: String,
        command: Command,
    },
    Cell {
        exec: ExecId,
        cell: Cell,
    },
    /// Kills a kernel and what is below it, and forgets it.
    End {
        kernel: String,
    },
}
