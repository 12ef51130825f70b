//! Files that the host reads: found first, then told piece by piece, as fast as it listens.

use super::{file_error, open_beneath};
use crate::glob;
use contracts::{
    file::check_path,
    link::{FileError, FromAgent, MAX_CHUNK_BYTES, RequestId, Truncation},
};
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat};
use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Entries looked at for one request, and how deep. Hostile code can make more of both.
const MAX_ENTRIES: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// One request under way.
pub(crate) struct Collection {
    request: RequestId,
    base: OwnedFd,
    /// Paths still to tell, last first.
    paths: Vec<String>,
    open: Option<Open>,
    bytes_left: u64,
    left_out: bool,
    /// The only file of a request without globs: its absence is an error.
    single: bool,
    failed: Option<FileError>,
}

struct Open {
    path: String,
    executable: bool,
    file: File,
    left: u64,
}

pub(crate) struct Wanted<'a> {
    pub(crate) within: &'a str,
    pub(crate) globs: &'a [String],
    pub(crate) max_files: u32,
    pub(crate) max_bytes: u64,
}

impl Collection {
    pub(crate) fn begin(
        request: RequestId,
        root: &Path,
        wanted: &Wanted<'_>,
    ) -> Result<Self, FileError> {
        if !wanted.within.is_empty() {
            check_path(wanted.within).map_err(|_| FileError::Path)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut base = rustix::fs::open(root, flags, Mode::empty()).map_err(file_error)?;
        let single = wanted.globs.is_empty();
        let mut left_out = false;
        let paths = if single {
            vec![wanted.within.to_owned()]
        } else {
            let within = if wanted.within.is_empty() { "." } else { wanted.within };
            let folder =
                open_beneath(&base, within, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
            match folder {
                Ok(folder) => {
                    base = folder;
                    let mut paths = walk(&base, wanted.globs, &mut left_out);
                    left_out |= paths.len() > wanted.max_files as usize;
                    paths.truncate(wanted.max_files as usize);
                    paths.reverse();
                    paths
                }
                Err(FileError::NotFound) => Vec::new(),
                Err(error) => return Err(error),
            }
        };
        let bytes_left = wanted.max_bytes;
        Ok(Self { request, base, paths, open: None, bytes_left, left_out, single, failed: None })
    }

    /// The next message of this request; `Done` is the last.
    pub(crate) fn next(&mut self) -> FromAgent {
        loop {
            if let Some(open) = self.open.take() {
                return self.next_piece(open);
            }
            let Some(path) = self.paths.pop() else {
                return self.done();
            };
            match open_file(&self.base, &path) {
                Ok((file, size, executable)) if size <= self.bytes_left => {
                    self.bytes_left -= size;
                    self.open = Some(Open { path, executable, file, left: size });
                }
                Ok(_) if self.single => self.failed = Some(FileError::TooLarge),
                Err(error) if self.single => self.failed = Some(error),
                // Gone since the walk.
                Err(FileError::NotFound) => {}
                // Too large for what is left, or not to be read.
                Ok(_) | Err(_) => self.left_out = true,
            }
        }
    }

    fn next_piece(&mut self, mut open: Open) -> FromAgent {
        let mut data = vec![0; open.left.min(MAX_CHUNK_BYTES as u64) as usize];
        // A file that shrank under us ends where it ends now.
        let count = open.file.read(&mut data).unwrap_or(0);
        data.truncate(count);
        open.left = if count == 0 { 0 } else { open.left - count as u64 };
        let last = open.left == 0;
        let (path, executable) = (open.path.clone(), open.executable);
        if !last {
            self.open = Some(open);
        }
        FromAgent::File { request: self.request, path, executable, data, last }
    }

    fn done(&mut self) -> FromAgent {
        let truncation = if self.left_out { Truncation::LeftOut } else { Truncation::Whole };
        let outcome = self.failed.take().map_or(Ok(truncation), Err);
        FromAgent::Done { request: self.request, outcome }
    }

    pub(crate) fn is_done(message: &FromAgent) -> bool {
        matches!(message, FromAgent::Done { .. })
    }
}

/// A regular file, its size, and whether it may be executed.
fn open_file(base: &OwnedFd, path: &str) -> Result<(File, u64, bool), FileError> {
    // Non-blocking: opening a pipe that nobody writes to must not stop the agent.
    let file = open_beneath(base, path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
    let stat = fstat(&file).map_err(file_error)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FileError::NotFound);
    }
    Ok((File::from(file), stat.st_size as u64, stat.st_mode & 0o111 != 0))
}

/// The matching regular files beneath a folder, in order.
fn walk(base: &OwnedFd, globs: &[String], left_out: &mut bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    let mut entries = 0;
    while let Some((folder, depth)) = folders.pop() {
        for (path, kind) in list(base, &folder, globs, left_out) {
            entries += 1;
            if entries > MAX_ENTRIES {
                *left_out = true;
                break;
            }
            match kind {
                FileType::Directory if depth < MAX_DEPTH => folders.push((path, depth + 1)),
                FileType::Directory => *left_out = true,
                FileType::RegularFile if globs.iter().any(|glob| glob::matches(glob, &path)) => {
                    found.push(path);
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn list(
    base: &OwnedFd,
    folder: &str,
    globs: &[String],
    left_out: &mut bool,
) -> Vec<(String, FileType)> {
    let at = if folder.is_empty() { "." } else { folder };
    let opened = open_beneath(base.as_fd(), at, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let entries = match opened.and_then(|fd| Dir::new(fd).map_err(file_error)) {
        Ok(entries) => entries,
        Err(error) => {
            *left_out |= error != FileError::NotFound;
            return Vec::new();
        }
    };
    let named = |entry: rustix::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        if matches!(&*name, "." | "..") {
            return None;
        }
        let path = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
        let kind = entry.file_type();
        // Names that the host would refuse are not offered, but missed.
        if check_path(&path).is_err() || entry.file_name().to_str().is_err() {
            *left_out |= match kind {
                FileType::RegularFile => globs.iter().any(|glob| glob::matches(glob, &path)),
                kind => kind == FileType::Directory,
            };
            return None;
        }
        Some((path, kind))
    };
    entries.flatten().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn collect(root: &Path, within: &str, globs: &[&str], max_bytes: u64) -> Vec<FromAgent> {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let wanted = Wanted { within, globs: &globs, max_files: 3, max_bytes };
        let mut collection = match Collection::begin(0, root, &wanted) {
            Ok(collection) => collection,
            Err(error) => {
                return vec![FromAgent::Done { request: 0, outcome: Err(error) }];
            }
        };
        let mut messages = Vec::new();
        loop {
            let message = collection.next();
            let done = Collection::is_done(&message);
            messages.push(message);
            if done {
                return messages;
            }
        }
    }

    fn paths(messages: &[FromAgent]) -> Vec<&str> {
        let path = |message| match message {
            &FromAgent::File { ref path, last: true, .. } => Some(path.as_str()),
            _ => None,
        };
        messages.iter().filter_map(path).collect()
    }

    #[test]
    fn what_matches_is_told_in_order_and_links_are_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("out/deep")).unwrap();
        fs::write(root.path().join("out/b.txt"), "b").unwrap();
        fs::write(root.path().join("out/deep/a.txt"), "a").unwrap();
        fs::write(root.path().join("other.txt"), "o").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out/link.txt")).unwrap();
        std::os::unix::fs::symlink("/etc", root.path().join("out/etc")).unwrap();
        let told = collect(root.path(), "", &["out/**"], 100);
        assert_eq!(paths(&told), ["out/b.txt", "out/deep/a.txt"]);
        assert_eq!(paths(&collect(root.path(), "out", &["*.txt"], 100)), ["b.txt"]);
    }

    #[test]
    fn a_single_file_must_be_there_small_and_no_link() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("result.json"), "{}").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        let outcome = |path, most| match collect(root.path(), path, &[], most).pop() {
            Some(FromAgent::Done { outcome, .. }) => outcome,
            _ => panic!("the last message is done"),
        };
        assert_eq!(outcome("result.json", 2), Ok(Truncation::Whole));
        assert_eq!(outcome("result.json", 1), Err(FileError::TooLarge));
        assert_eq!(outcome("missing", 9), Err(FileError::NotFound));
        assert_eq!(outcome("link", 9), Err(FileError::Path));
        assert_eq!(outcome("../x", 9), Err(FileError::Path));
    }

    #[test]
    fn names_that_no_host_takes_are_left_out_and_said_to_be() {
        use std::os::unix::ffi::OsStrExt;
        let done = |outcome| FromAgent::Done { request: 0, outcome: Ok(outcome) };
        for name in [&b"a\nb.txt"[..], b"\xff.txt"] {
            let root = tempfile::tempdir().unwrap();
            let at = root.path().join(std::ffi::OsStr::from_bytes(name));
            fs::write(&at, "x").unwrap();
            assert_eq!(collect(root.path(), "", &["**"], 9), [done(Truncation::LeftOut)]);
            assert_eq!(collect(root.path(), "", &["*.png"], 9), [done(Truncation::Whole)]);
            fs::remove_file(&at).unwrap();
            fs::create_dir(&at).unwrap();
            assert_eq!(collect(root.path(), "", &["**"], 9), [done(Truncation::LeftOut)]);
        }
    }

    #[test]
    fn caps_leave_out_and_say_so() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d"] {
            fs::write(root.path().join(name), vec![b'x'; 100_000]).unwrap();
        }
        let told = collect(root.path(), "", &["*"], 250_000);
        assert_eq!(paths(&told), ["a", "b"]);
        let done = FromAgent::Done { request: 0, outcome: Ok(Truncation::LeftOut) };
        assert_eq!(told.last(), Some(&done));
    }
}
