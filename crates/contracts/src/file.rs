//! Files that go into a sandbox and artifacts that come out, and the paths that both may have.

use crate::{
    Faults,
    link::files::{FileKind, FileStat},
};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Longest relative path. Far below the kernel's limit, so that a join never reaches it.
pub const MAX_PATH_BYTES: usize = 1024;

/// One input file, written beneath `/workspace` before the command starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Relative to the workspace.
    pub path: String,
    /// Text content. Exactly one of `content` and `content_base64` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
    #[serde(default)]
    pub executable: bool,
}

impl InputFile {
    pub fn validate(&self, field: &str, faults: &mut Faults) {
        if let Err(message) = check_path(&self.path) {
            faults.add(format!("{field}.path"), message);
        }
        match (&self.content, &self.content_base64) {
            (Some(_), None) => {}
            (None, Some(text)) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(text);
                faults.require(
                    decoded.is_ok(),
                    &format!("{field}.content_base64"),
                    "is not base64",
                );
            }
            _ => faults.add(field, "needs exactly one of content and content_base64"),
        }
    }

    /// The bytes of a validated file.
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.content, &self.content_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(text)) => {
                base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default()
            }
            (None, None) => Vec::new(),
        }
    }
}

/// Bytes in the one way in which they are written into JSON.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// One artifact of an ended job; its bytes are fetched apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub path: String,
    pub size_bytes: u64,
    pub executable: bool,
}

/// A file, folder or link of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// In a list the name; else from the workspace, and empty for the workspace itself.
    pub path: String,
    pub kind: FileKind,
    pub size_bytes: u64,
    /// The permissions in octal, as in `644`.
    pub mode: String,
    #[serde(with = "time::serde::rfc3339")]
    pub modified_at: OffsetDateTime,
}

impl FileView {
    pub fn new(path: impl Into<String>, stat: &FileStat) -> Self {
        let mode = format!("{:03o}", stat.mode);
        let (kind, size_bytes) = (stat.kind, stat.size_bytes);
        Self { path: path.into(), kind, size_bytes, mode, modified_at: modified_at(stat) }
    }
}

/// When a file was changed, as far as a calendar reaches: programs can set any time.
pub fn modified_at(stat: &FileStat) -> OffsetDateTime {
    let nanos = i128::from(stat.modified_ns);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// One page of a session's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderView {
    pub path: String,
    pub entries: Vec<FileView>,
    /// What to give as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Names that no path can hold, which are not listed: no text, control characters.
    #[serde(default)]
    pub unnamable: u64,
}

/// A tar that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    pub entries: u64,
}

/// What is told of a watched folder; the event's name says what happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    pub path: String,
    pub folder: bool,
}

/// Accepts `a/b.txt`; refuses the empty, absolute and climbing path, NUL and controls.
///
/// This is the first of two walls: the agent inside resolves beneath the folder and follows no link.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("must not be empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Err("must be relative");
    }
    if path.chars().any(char::is_control) {
        return Err("must not hold control characters");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..") || part.len() > 255) {
        return Err("must not hold empty, `.`, `..` or overlong parts");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for path in ["", "/etc/passwd", "..", "a/../b", "a//b", "./a", "a/", "a\0b", "a\nb"] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        assert!(check_path("src/main.rs").is_ok());
        assert!(check_path("...").is_ok());
    }
}
