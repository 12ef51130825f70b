//! Files of a session on the link: calls about the workspace, each with a bounded answer.
//!
//! The host pulls: the agent sends a piece only when it was asked for one, so a slow reader holds up
//! its own call and nothing else of the link. What the host sends goes to a file at once.
//!
//! ```text
//!   Stat, List, MakeFolder, Move, Delete ──────────────────────► Done
//!   Read ──► Opened ── At ─► Piece ── At ─► Piece … Close
//!   Pack ──► Packing ── More ─► Piece …  last Piece
//!   Write, Unpack ── Piece, Piece … Finish ────────────────────► Done   (or Done sooner: it failed)
//!   Watch ─► Watching ── More ─► Changes … Close
//! ```

use serde::{Deserialize, Serialize};

/// Calls that one sandbox may have under way at a time.
pub const MAX_CALLS: usize = 32;

/// Entries in one page of a folder: with the longest names it fits into a frame.
pub const MAX_PAGE: u32 = 1000;

/// Entries of a folder or a tree that one call looks at. Hostile code can make more.
pub const MAX_ENTRIES: u32 = 100_000;

/// Changes in one frame.
pub const MAX_CHANGES: usize = 256;

/// Folders that one watch looks at.
pub const MAX_WATCHED: usize = 1024;

/// The bits of a mode that may be set: no setuid, no setgid, no sticky bit.
pub const MODE_BITS: u32 = 0o777;

/// Where, beneath the workspace; the empty path is the workspace itself.
pub type Path = String;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileOrder {
    Stat {
        path: Path,
    },
    /// One page of a folder, in the order of the names' bytes.
    List {
        path: Path,
        after: Option<String>,
        max: u32,
    },
    /// Opens a regular file.
    Read {
        path: Path,
    },
    /// So many bytes of an open file, from there on; fewer only at its end.
    At {
        offset: u64,
        bytes: u32,
    },
    /// A folder or a file as a tar, at most so many bytes of content.
    Pack {
        path: Path,
        max_bytes: u64,
    },
    Watch {
        path: Path,
        deep: bool,
    },
    /// One more piece of a tar, or the next changes.
    More,
    /// A file, put in place when it is whole.
    Write {
        path: Path,
        mode: Option<u32>,
        /// Only if nothing is there.
        only_new: bool,
    },
    /// A tar, unpacked into a folder as it comes.
    Unpack {
        path: Path,
        max_bytes: u64,
    },
    Piece {
        #[serde(with = "super::bytes")]
        data: Vec<u8>,
    },
    Finish,
    MakeFolder {
        path: Path,
    },
    Move {
        from: Path,
        to: Path,
        replace: bool,
    },
    Delete {
        path: Path,
        deep: bool,
    },
    /// Ends a call in whatever state it is; a file that is not whole goes.
    Close,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileNews {
    Opened(FileStat),
    /// A tar is to come; so many things are not in it: links that lead out, pipes and the like.
    Packing {
        left_out: u64,
    },
    Watching,
    Piece {
        #[serde(with = "super::bytes")]
        data: Vec<u8>,
        last: bool,
    },
    Changes(Vec<Change>),
    /// The end of a call.
    Done(Result<FileDone, FileFault>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileDone {
    Stat(FileStat),
    Page(Page),
    /// A file, folder or name that was not there before.
    Created,
    /// It was there, and is another one or the same now.
    Changed,
    Deleted,
    Unpacked {
        entries: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Folder,
    Link,
    /// A pipe, a socket, a device.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    pub kind: FileKind,
    pub size_bytes: u64,
    pub mode: u32,
    /// Nanoseconds of the Unix time.
    pub modified_ns: i64,
    /// Differs when the file is another one or was changed.
    pub version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub entries: Vec<(String, FileStat)>,
    /// There are more behind the last one.
    pub more: bool,
    /// Names of this folder that no path can hold.
    pub unnamable: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Created {
        path: Path,
        folder: bool,
    },
    /// Its content was written and closed, or its mode or times changed.
    Modified {
        path: Path,
        folder: bool,
    },
    Deleted {
        path: Path,
        folder: bool,
    },
    /// Changes were missed: look anew.
    Overflow,
    /// What was watched is gone; nothing comes after it.
    Gone,
}

/// Which bound a call has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileLimit {
    /// The sandbox's largest single file.
    FileSize,
    /// Entries that one call looks at.
    Entries,
    /// The sandbox's workspace, or what was asked for of it.
    Workspace,
    /// Bytes of an entry's extended header.
    TarHeader,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileFault {
    /// The path leads through a link, or out of the workspace.
    Link,
    NotFound,
    /// It is a pipe, a socket, a device or a link.
    NotAFile,
    IsFolder,
    NotAFolder,
    /// It is there, and was to be new.
    Exists,
    NotEmpty,
    /// The modes in the sandbox forbid it.
    Denied,
    /// A program in the sandbox holds it.
    Busy,
    /// It changed while it was looked at.
    Changed,
    TooLarge(FileLimit),
    NoSpace,
    /// Too many calls or watches at a time.
    TooMany,
    /// It is no tar, or has ended in the middle.
    BrokenTar,
    /// This entry of a tar is refused; those before it were unpacked.
    Entry {
        name: String,
        why: EntryFault,
    },
    /// The call and its order don't fit.
    Order,
    Other {
        errno: i32,
    },
}

/// Why an entry of a tar was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryFault {
    Absolute,
    Climbs,
    BadName,
    LinkOut,
    HardLink,
    Device,
    Sparse,
    UnknownKind,
    /// A link, or a thing that is no folder, stands in its way.
    InTheWay,
}

impl EntryFault {
    /// Reads after the entry's name.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Absolute => "has an absolute name",
            Self::Climbs => "has a name that holds `..`",
            Self::BadName => "has a name that is empty, too long, or no plain text",
            Self::LinkOut => "is a link that may lead out of the folder",
            Self::HardLink => "is a hard link",
            Self::Device => "is a device or a pipe",
            Self::Sparse => "is a sparse file",
            Self::UnknownKind => "is of an unknown kind",
            Self::InTheWay => "can't be made: a link or a file stands where its folder would be",
        }
    }
}

/// Whether a link at `path` that says `target` stays beneath the folder that `path` starts from.
///
/// Climbing is allowed at the beginning only, and not beyond the start: from there on a path may pass
/// other links, and each of them stays inside by the same rule.
pub fn link_stays_inside(path: &str, target: &str) -> bool {
    let depth = path.split('/').count() - 1;
    let mut parts = target.split('/').skip_while(|part| *part == "..");
    let climbs = target.split('/').take_while(|part| *part == "..").count();
    let plain = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 255;
    !target.is_empty()
        && target.len() <= crate::file::MAX_PATH_BYTES
        && climbs <= depth
        && !target.chars().any(char::is_control)
        && parts.all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_may_lead_out_are_known() {
        for (path, target, inside) in [
            ("a", "b", true),
            ("a/b", "../c", true),
            ("a/b", "..", true),
            ("a/b/c", "../../d/e", true),
            ("a", "../b", false),
            ("a/b", "../../c", false),
            ("a", "/etc/passwd", false),
            ("a", "", false),
            ("a", ".", false),
            // `b` may be a link itself: what is above it is anywhere.
            ("a/x", "b/../..", false),
            ("a/x", "b/../c", false),
            ("a", "b//c", false),
            ("a", "b\nc", false),
        ] {
            assert_eq!(link_stays_inside(path, target), inside, "{path} -> {target}");
        }
    }
}
