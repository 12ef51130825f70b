//! The link: what the host and the agent inside a sandbox say to each other.
//!
//! One unix stream per sandbox. The agent connects; the host has checked by then that the peer is
//! the container's PID 1. A frame is a little-endian `u32` length and that many bytes of postcard.
//! Both ends bound a frame before they allocate for it: the agent shares its user with hostile code,
//! so the host treats each frame as an attacker's.
//!
//! ```text
//!   agent                         host
//!     │── Hello ───────────────────►│   what it is, and which commands it knows
//!     │◄───────────── Welcome ──────│   from where on each command's output is wanted
//!     │◄── Put… ── Start ── Stdin ──│
//!     │── Started ── Output… ──────►│   stdout and stderr apart, each with its offset
//!     │── Exited ──────────────────►│   after the last byte of both streams
//!     │◄───────────── Collect ──────│
//!     │── File… ── Done ───────────►│
//! ```
//!
//! When the host dies, the agent keeps each command's captured output (it is capped) and its end,
//! connects again as soon as somebody listens, and says Hello. `Welcome` then names the offsets.

pub mod files;
pub mod kernel;
pub mod terminal;

use crate::landlock::Landlock;
use files::{FileNews, FileOrder};
use kernel::{KernelEnd, ToKernels};
use serde::{Deserialize, Serialize};
use terminal::{FromTerminals, TerminalStatus, ToTerminals};

/// Both ends must speak the same version: the agent's binary is mounted by the host that runs it,
/// and only an upgrade of the host under a living sandbox can make them differ.
pub const VERSION: u16 = 4;

/// Largest frame. An output chunk, a file chunk or a command with its environment fits.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Bytes of output or file content in one frame.
pub const MAX_CHUNK_BYTES: usize = 64 << 10;

/// Names one command within its sandbox; the host counts up and never reuses one.
pub type ExecId = u32;

/// Names one file request within its link.
pub type RequestId = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    Stdout,
    Stderr,
    /// A cell's rich results: lines of JSON, whole ones only.
    Display,
}

/// The folders of a sandbox that files go to and come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    Workspace,
    Job,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub argv: Vec<String>,
    /// The whole environment: the agent adds nothing.
    pub env: Vec<(String, String)>,
    pub cwd: String,
    /// Without it, standard input is `/dev/null`.
    pub stdin: bool,
    /// Bytes kept per stream; what comes after is counted and dropped.
    pub output_bytes: u64,
    /// Bytes over both streams after which the command is killed as a flood.
    pub flood_bytes: u64,
    /// When the command ends, end every other process of the sandbox too. True for a job, whose
    /// end is the sandbox's end; false in a session, where background work may go on.
    pub sole: bool,
    /// The agent's own deadline, a second line behind the host's: it counts when the host is dead.
    pub backstop_ms: u64,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Code(i32),
    Signal(i32),
    /// `execve` or what comes before it failed with this errno; nothing of the command ran.
    NotExecuted {
        errno: i32,
        step: String,
    },
    /// A cell's kernel ended: in the middle of it, or before it, and then nothing of it ran.
    Kernel {
        end: KernelEnd,
        ran: bool,
    },
    /// There is no kernel of that name.
    NoKernel,
}

/// What made the agent end a command by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KilledBy {
    Flood,
    Backstop,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    pub end: End,
    pub killed_by: Option<KilledBy>,
    /// Bytes that the command wrote, captured or not.
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
    pub display_bytes: u64,
    /// From the start to the end, by the agent's monotonic clock.
    pub wall_us: u64,
    pub cpu_us: u64,
    pub max_rss_bytes: u64,
    /// A sized mount (`/workspace`, `/tmp` or `/job`) had no room left at the end.
    pub disk_full: bool,
    /// The folder for artifacts is not empty.
    pub artifacts: bool,
}

impl Exited {
    /// An end of which nothing else is known.
    pub fn bare(end: End) -> Self {
        Self {
            end,
            killed_by: None,
            stdout_bytes: 0,
            stderr_bytes: 0,
            display_bytes: 0,
            wall_us: 0,
            cpu_us: 0,
            max_rss_bytes: 0,
            disk_full: false,
            artifacts: false,
        }
    }
}

/// A command that the agent knows of, as it says after a reconnect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecStatus {
    pub exec: ExecId,
    pub exited: bool,
    /// Captured so far.
    pub stdout: u64,
    pub stderr: u64,
    /// The name of a cell; a command has none.
    pub cell: Option<String>,
    /// The bytes of standard input that it was given so far, if it can be given more.
    pub stdin: Option<u64>,
}

/// Where the host wants each command's output to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    pub exec: ExecId,
    pub stdout: u64,
    pub stderr: u64,
    pub display: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileError {
    /// The path is not one, or leaves its root.
    Path,
    /// Nothing there, or not a regular file.
    NotFound,
    /// Larger than the request allows.
    TooLarge,
    /// The mount is full.
    NoSpace,
    Other {
        errno: i32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    Welcome {
        version: u16,
        resume: Vec<Resume>,
    },
    Start {
        exec: ExecId,
        command: Command,
    },
    Stdin {
        exec: ExecId,
        #[serde(with = "bytes")]
        data: Vec<u8>,
    },
    StdinEnd {
        exec: ExecId,
    },
    /// To the command's whole process tree.
    Signal {
        exec: ExecId,
        signal: i32,
    },
    /// Forgets an ended command and its captured output.
    Forget {
        exec: ExecId,
    },
    /// Writes a file beneath its root, folders included; pieces follow each other in order.
    Put {
        request: RequestId,
        root: Root,
        path: String,
        executable: bool,
        #[serde(with = "bytes")]
        data: Vec<u8>,
        last: bool,
    },
    /// Reads files: everything beneath `root`/`within` that a glob matches, regular files only.
    Collect {
        request: RequestId,
        root: Root,
        within: String,
        globs: Vec<String>,
        max_files: u32,
        max_bytes: u64,
    },
    /// Answered once no program has much of its standard input to read: who sends that asks after
    /// each window of it, and the rest of the link goes on.
    Ping,
    Kernels(ToKernels),
    Terminals(ToTerminals),
    /// Begins a call about the files of a session, or goes on with one.
    Files {
        request: RequestId,
        order: FileOrder,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    Hello {
        version: u16,
        execs: Vec<ExecStatus>,
        /// The kernels that are there, dead ones that nobody was told of included.
        kernels: Vec<String>,
        terminals: Vec<TerminalStatus>,
        /// What stands around each command that it starts.
        landlock: Landlock,
    },
    Started {
        exec: ExecId,
    },
    Output {
        exec: ExecId,
        stream: Stream,
        offset: u64,
        #[serde(with = "bytes")]
        data: Vec<u8>,
    },
    Exited {
        exec: ExecId,
        exited: Exited,
    },
    /// A piece of a collected file; `path` is relative to what was asked for.
    File {
        request: RequestId,
        path: String,
        executable: bool,
        #[serde(with = "bytes")]
        data: Vec<u8>,
        last: bool,
    },
    /// The end of a `Put` or `Collect`. `truncated`: a cap left something out.
    Done {
        request: RequestId,
        outcome: Result<Truncation, FileError>,
    },
    Pong,
    Terminals(FromTerminals),
    Files {
        request: RequestId,
        news: FileNews,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truncation {
    Whole,
    LeftOut,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is above the limit of {MAX_FRAME_BYTES}")]
    TooLarge(usize),
    #[error("a frame that is not a message of the link")]
    Malformed,
}

/// The message as a whole frame, length included.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let frame = postcard::to_extend(message, vec![0; 4]).map_err(|_| FrameError::Malformed)?;
    let length = frame.len() - 4;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLarge(length));
    }
    let mut frame = frame;
    frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(frame)
}

/// The length that a frame's head announces, checked before anybody allocates for it.
pub fn frame_length(head: [u8; 4]) -> Result<usize, FrameError> {
    let length = u32::from_le_bytes(head) as usize;
    if length > MAX_FRAME_BYTES { Err(FrameError::TooLarge(length)) } else { Ok(length) }
}

/// The message of a frame's body; bytes left over make it malformed.
pub fn decode<'a, M: Deserialize<'a>>(body: &'a [u8]) -> Result<M, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameError::Malformed),
    }
}

/// Byte strings as such, and not as sequences of numbers: a copy instead of a loop.
mod bytes {
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(data)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, data: &[u8]) -> Result<Vec<u8>, E> {
                Ok(data.to_vec())
            }
        }
        d.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_frame() {
        let message = FromAgent::Output {
            exec: 1,
            stream: Stream::Stderr,
            offset: 9,
            data: b"a\0\xff".to_vec(),
        };
        let frame = encode(&message).unwrap();
        let length = frame_length(frame[..4].try_into().unwrap()).unwrap();
        assert_eq!(length, frame.len() - 4);
        assert_eq!(decode::<FromAgent>(&frame[4..]), Ok(message));
    }

    #[test]
    fn a_frame_that_announces_too_much_is_refused_before_it_is_read() {
        assert!(frame_length(u32::MAX.to_le_bytes()).is_err());
    }

    #[test]
    fn bytes_behind_a_message_make_it_malformed() {
        let mut frame = encode(&FromAgent::Pong).unwrap();
        frame.push(0);
        assert_eq!(decode::<FromAgent>(&frame[4..]), Err(FrameError::Malformed));
    }

    #[test]
    fn an_announced_length_beyond_the_frame_is_malformed() {
        // Output with a data length of 2^28 and no data: must fail, not allocate.
        let body = [2, 1, 0, 0, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(decode::<FromAgent>(&body), Err(FrameError::Malformed));
    }
}
