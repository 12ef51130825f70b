//! The arguments of an attempt as data, so that the tables of attempts are tables.

use std::ffi::CStr;
use std::sync::atomic::AtomicU8;

/// A path at which nothing is.
pub(super) const NOWHERE: &CStr = c"/proc/sandbox-agent-probe";

/// Where the kernel may write answers to: it holds the largest of them.
static SCRATCH: [AtomicU8; 4096] = [const { AtomicU8::new(0) }; 4096];

#[derive(Debug, Clone, Copy)]
pub(super) enum Argument {
    Number(usize),
    Text(&'static CStr),
    /// A structure that the kernel reads.
    Words(&'static [u64]),
    /// A structure of zeros that the kernel may write to.
    Scratch,
    /// No memory at all: a call that reads it first fails with EFAULT.
    BadPointer,
    /// A descriptor of the file with this path.
    Open(&'static CStr),
    /// The process that makes the attempt.
    OwnPid,
}

impl Argument {
    /// As the kernel takes it. Opens files, and does nothing that a child after `fork` mustn't do.
    pub(super) fn word(self) -> usize {
        match self {
            Self::Number(number) => number,
            Self::Text(text) => text.as_ptr() as usize,
            Self::Words(words) => words.as_ptr() as usize,
            Self::Scratch => SCRATCH.as_ptr() as usize,
            Self::BadPointer => 1,
            // SAFETY: the path is a C string, and the call is async-signal-safe.
            Self::Open(path) => unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) as usize },
            // SAFETY: the call takes nothing and can't fail.
            Self::OwnPid => unsafe { libc::getpid() as usize },
        }
    }
}
