//! Files that the host writes, piece by piece.

use super::{file_error, open_beneath};
use contracts::{
    file::check_path,
    link::{FileError, RequestId},
};
use rustix::{
    fs::{Mode, OFlags, mkdirat},
    io::Errno,
};
use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Files under way. One that failed stays, so that its later pieces are swallowed.
#[derive(Default)]
pub(crate) struct Puts(HashMap<RequestId, Result<OwnedFd, FileError>>);

impl Puts {
    /// Writes a piece; with the last one, or none to come, tells how it went.
    pub(crate) fn piece(
        &mut self,
        root: &Path,
        request: RequestId,
        (path, executable): (&str, bool),
        data: &[u8],
        last: bool,
    ) -> Option<Result<(), FileError>> {
        let file = self.0.entry(request).or_insert_with(|| create(root, path, executable));
        if let Ok(open) = file
            && let Err(error) = write(open, data)
        {
            *file = Err(error);
        }
        last.then(|| self.0.remove(&request).unwrap_or(Err(FileError::Path)).map(drop))
    }

    /// The host is gone, and with it the rest of every file.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

fn create(root: &Path, path: &str, executable: bool) -> Result<OwnedFd, FileError> {
    check_path(path).map_err(|_| FileError::Path)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open(root, flags, Mode::empty()).map_err(file_error)?;
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(file_error(error)),
        }
        folder = open_beneath(&folder, part, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    }
    let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
    // Non-blocking, for a name that is a pipe; it can't be one of these and be written.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
    open_beneath(&folder, name, flags, mode)
}

fn write(file: &impl AsFd, mut data: &[u8]) -> Result<(), FileError> {
    while !data.is_empty() {
        match rustix::io::write(file, data) {
            Ok(count) => data = &data[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(file_error(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, data: &[u8]) -> Result<(), FileError> {
        Puts::default().piece(root, 0, (path, false), data, true).unwrap()
    }

    #[test]
    fn a_file_is_written_with_its_folders() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(put(root.path(), "a/b/c.txt", b"hello"), Ok(()));
        assert_eq!(std::fs::read(root.path().join("a/b/c.txt")).unwrap(), b"hello");
    }

    #[test]
    fn links_in_the_way_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("folder")).unwrap();
        let target = outside.path().join("file");
        std::fs::write(&target, "untouched").unwrap();
        std::os::unix::fs::symlink(&target, root.path().join("file")).unwrap();
        for path in ["folder/x", "file", "../x", "/x", "a/../../x"] {
            assert!(put(root.path(), path, b"changed").is_err(), "{path}");
        }
        assert_eq!(std::fs::read(target).unwrap(), b"untouched");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
