//! A file that comes piece by piece: under a name of its own until it is whole, then in its place.

use super::place;
use contracts::link::files::FileFault;
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, fchmod, futimens,
        renameat, renameat_with, unlinkat,
    },
    io::Errno,
};
use std::{
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

/// Names that are tried. A program can take some of them before us, and then only harms itself.
const TRIES: usize = 64;

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub(super) struct Draft {
    folder: OwnedFd,
    name: String,
    hidden: String,
    /// Closed before the file is in place, so that who watches it is told of one change.
    file: Option<OwnedFd>,
    mode: Mode,
    placed: bool,
}

/// Whether a name is that of a file that is not whole yet.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(".pinfold-") && name.ends_with(".part")
}

impl Draft {
    pub(super) fn begin(root: &OwnedFd, path: &str) -> Result<Self, FileFault> {
        if path.is_empty() {
            return Err(FileFault::IsFolder);
        }
        let (folder, name) = place::locate_making_folders(root, path)?;
        let mode = match place::stat_at(&folder, name) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => return Err(FileFault::IsFolder),
                FileType::RegularFile => Mode::from_raw_mode(stat.st_mode & 0o777),
                _ => Mode::from_raw_mode(0o644),
            },
            Err(FileFault::NotFound) => Mode::from_raw_mode(0o644),
            Err(fault) => return Err(fault),
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NONBLOCK;
        for _ in 0..TRIES {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let hidden = format!(".pinfold-{number}.part");
            match place::create(&folder, &hidden, flags, Mode::from_raw_mode(0o600)) {
                Ok(file) => {
                    let name = name.to_owned();
                    let file = Some(file);
                    return Ok(Self { folder, name, hidden, file, mode, placed: false });
                }
                Err(FileFault::Exists | FileFault::Link) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(FileFault::Busy)
    }

    pub(super) fn write(&self, mut data: &[u8]) -> Result<(), FileFault> {
        let Some(file) = &self.file else { return Err(FileFault::Order) };
        while !data.is_empty() {
            match rustix::io::write(file, data) {
                Ok(count) => data = &data[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(place::fault(errno)),
            }
        }
        Ok(())
    }

    pub(super) fn set_modified(&self, seconds: i64) {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let Some(file) = &self.file else { return };
        // A time is a nicety: without it the file is still right.
        let _kept = futimens(file, &Timestamps { last_access: time, last_modification: time });
    }

    /// Puts the file in place; tells whether nothing was there before. A link that is there is
    /// replaced, not followed.
    pub(super) fn finish(mut self, mode: Option<u32>, only_new: bool) -> Result<bool, FileFault> {
        let mode = mode.map_or(self.mode, Mode::from_raw_mode);
        if let Some(file) = self.file.take() {
            fchmod(&file, mode).map_err(place::fault)?;
        }
        let (folder, hidden, name) = (&self.folder, &self.hidden, &self.name);
        let created = match renameat_with(folder, hidden, folder, name, RenameFlags::NOREPLACE) {
            Ok(()) => true,
            Err(Errno::EXIST) if !only_new => {
                renameat(folder, hidden, folder, name).map_err(place::fault)?;
                false
            }
            Err(errno) => return Err(place::fault(errno)),
        };
        self.placed = true;
        Ok(created)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // A program may have removed it before us.
            let _gone = unlinkat(&self.folder, &self.hidden, AtFlags::empty());
        }
    }
}
