//! A folder that goes with all that is in it, however deep, a step at a time.
//!
//! A program can nest folders deeper than any path or any number of descriptors reaches, and move
//! them while we look. So nothing is climbed: a folder that is not empty is moved up into the first
//! one, and emptied there. Two descriptors do for any depth, and a link is only ever a name to remove.

use super::{open_folder, place};
use contracts::link::files::FileFault;
use rustix::{
    fs::{AtFlags, Dir, OFlags, RenameFlags, renameat_with, unlinkat},
    io::Errno,
};
use std::{ffi::CString, os::fd::OwnedFd};

/// Entries of one step.
const STEP: usize = 256;

/// Folders that were full again after they were emptied. Beyond it, somebody fills them for sport.
const REFILLS: usize = 256;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NONBLOCK);

pub(super) struct Deletion {
    parent: OwnedFd,
    name: String,
    top: OwnedFd,
    /// In the first folder: those that still have to be emptied.
    folders: Vec<CString>,
    /// The one that is being emptied; none is the first one.
    current: Option<CString>,
    entries: Dir,
    at: OwnedFd,
    moved: u64,
    refills: usize,
}

pub(super) enum Progress {
    More,
    Done,
}

impl Deletion {
    pub(super) fn begin(parent: OwnedFd, name: &str) -> Result<Self, FileFault> {
        let top = open_folder(&parent, name)?;
        let at = open_folder(&parent, name)?;
        let entries = Dir::read_from(&at).map_err(place::fault)?;
        let (folders, current) = (Vec::new(), None);
        let name = name.to_owned();
        Ok(Self { parent, name, top, folders, current, entries, at, moved: 0, refills: 0 })
    }

    pub(super) fn step(&mut self) -> Result<Progress, FileFault> {
        for _ in 0..STEP {
            match self.entries.next() {
                Some(entry) => {
                    let entry = entry.map_err(place::fault)?;
                    let name = entry.file_name();
                    if !matches!(name.to_bytes(), b"." | b"..") {
                        self.remove(name.to_owned())?;
                    }
                }
                None => {
                    if let Progress::Done = self.leave()? {
                        return Ok(Progress::Done);
                    }
                }
            }
        }
        Ok(Progress::More)
    }

    fn remove(&mut self, name: CString) -> Result<(), FileFault> {
        match unlinkat(&self.at, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(errno) => return Err(place::fault(errno)),
        }
        match unlinkat(&self.at, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(errno) => return Err(place::fault(errno)),
        }
        if self.current.is_none() {
            self.folders.push(name);
            return Ok(());
        }
        for _ in 0..=STEP {
            self.moved += 1;
            let fresh = CString::new(format!(".pinfold-{}.gone", self.moved)).unwrap_or_default();
            match renameat_with(&self.at, &name, &self.top, &fresh, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.folders.push(fresh);
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(place::fault(errno)),
            }
        }
        Err(FileFault::Changed)
    }

    /// The current folder was read to its end.
    fn leave(&mut self) -> Result<Progress, FileFault> {
        let removed = match self.current.take() {
            Some(name) => match unlinkat(&self.top, &name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {
                    self.folders.push(name);
                    self.refilled().map(|()| Ok(()))?
                }
                other => other,
            },
            None => Ok(()),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(place::fault(errno)),
        }
        while let Some(name) = self.folders.pop() {
            match place::open(&self.top, name.as_c_str(), FOLDER) {
                Ok(folder) => {
                    self.entries = Dir::read_from(&folder).map_err(place::fault)?;
                    self.at = folder;
                    self.current = Some(name);
                    return Ok(Progress::More);
                }
                Err(FileFault::NotFound) => {}
                // Another thing has taken its name.
                Err(FileFault::Link | FileFault::NotAFolder) => {
                    unlinkat(&self.top, &name, AtFlags::empty()).map_err(place::fault)?;
                }
                Err(fault) => return Err(fault),
            }
        }
        match unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(Progress::Done),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                self.refilled()?;
                self.at = open_folder(&self.top, "")?;
                self.entries = Dir::read_from(&self.at).map_err(place::fault)?;
                Ok(Progress::More)
            }
            Err(errno) => Err(place::fault(errno)),
        }
    }

    fn refilled(&mut self) -> Result<(), FileFault> {
        self.refills += 1;
        if self.refills > REFILLS { Err(FileFault::Changed) } else { Ok(()) }
    }
}
