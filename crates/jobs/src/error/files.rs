//! What a call about a session's file is told when it can't be done.

use contracts::{
    limits::Limits,
    link::files::{FileFault, FileLimit, MAX_ENTRIES},
    problem::{
        Problem,
        ProblemType::{self, Authorization, NotFound, RateLimit, Validation},
    },
};
use std::fmt;

/// A fault of the sandbox's with what it is about.
#[derive(Debug)]
pub struct FileRefusal {
    pub path: String,
    pub fault: FileFault,
    pub limits: Limits,
}

impl FileRefusal {
    pub(super) fn problem(&self) -> Problem {
        let (kind, status, title) = self.class();
        Problem::new(kind, status, title).with_detail(self.to_string())
    }

    fn class(&self) -> (ProblemType, u16, &'static str) {
        match self.fault {
            FileFault::Link | FileFault::Denied => (Authorization, 403, "Forbidden"),
            FileFault::NotFound => (NotFound, 404, "Not found"),
            FileFault::TooLarge(_) => (Validation, 413, "Too large"),
            FileFault::NoSpace => (Validation, 507, "Insufficient storage"),
            FileFault::TooMany => (RateLimit, 429, "Too many at a time"),
            FileFault::BrokenTar => (Validation, 400, "Invalid request"),
            FileFault::Entry { .. } => (Validation, 422, "Refused by this node"),
            FileFault::NotAFile
            | FileFault::IsFolder
            | FileFault::NotAFolder
            | FileFault::Exists
            | FileFault::NotEmpty
            | FileFault::Busy
            | FileFault::Changed
            | FileFault::Order
            | FileFault::Other { .. } => (Validation, 409, "Conflict"),
        }
    }
}

impl fmt::Display for FileRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { file_size_bytes, workspace_bytes, .. } = self.limits;
        let path = if self.path.is_empty() { "the workspace" } else { &self.path };
        write!(f, "{path}: ")?;
        match &self.fault {
            FileFault::Link => f.write_str("leads through a link, and no link is followed"),
            FileFault::NotFound => f.write_str("is not there"),
            FileFault::NotAFile => f.write_str("is a link, a pipe or a device, and no file"),
            FileFault::IsFolder => f.write_str("is a folder"),
            FileFault::NotAFolder => f.write_str("is no folder, or leads through a file"),
            FileFault::Exists => f.write_str("is there already, or would be inside itself"),
            FileFault::NotEmpty => f.write_str("is a folder that is not empty"),
            FileFault::Denied => f.write_str("is not permitted by the modes in the sandbox"),
            FileFault::Busy => f.write_str("is held by a program in the sandbox"),
            FileFault::Changed => f.write_str("was changed while it was looked at"),
            FileFault::TooLarge(FileLimit::FileSize) => {
                write!(f, "is larger than file_size_bytes ({file_size_bytes})")
            }
            FileFault::TooLarge(FileLimit::Workspace) => {
                write!(f, "holds more than workspace_bytes ({workspace_bytes})")
            }
            FileFault::TooLarge(FileLimit::Entries) => {
                write!(f, "holds more than max_entries ({MAX_ENTRIES})")
            }
            FileFault::TooLarge(FileLimit::TarHeader) => {
                f.write_str("the tar has an extended header of more than max_header (65536) bytes")
            }
            FileFault::NoSpace => {
                write!(f, "the workspace is full (workspace_bytes is {workspace_bytes})")
            }
            FileFault::TooMany => f.write_str("too many calls, open files or watches at a time"),
            FileFault::BrokenTar => f.write_str("what was sent is no tar, or was cut off"),
            FileFault::Entry { name, why } => {
                write!(f, "the tar's entry {name:?} {}; those before it are there", why.reason())
            }
            FileFault::Order => f.write_str("was asked for in the wrong order"),
            FileFault::Other { errno } => write!(f, "the sandbox's kernel said no (errno {errno})"),
        }
    }
}

impl std::error::Error for FileRefusal {}
