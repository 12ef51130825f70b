//! A folder as a tar: looked through first, so that what is too large is refused before a byte is
//! sent, then told piece by piece as fast as the host asks.

use super::{draft::is_hidden, open_folder, place};
use contracts::{
    file::check_path,
    link::{
        MAX_CHUNK_BYTES,
        files::{
            FileFault, FileKind, FileLimit, FileNews, FileStat, MAX_ENTRIES, link_stays_inside,
        },
    },
};
use rustix::{
    fs::{Dir, fstat, readlinkat},
    io::Errno,
};
use std::{collections::VecDeque, os::fd::OwnedFd};
use tar::{EntryType, Header};

const BLOCK: usize = 512;

pub(super) struct Pack {
    base: OwnedFd,
    /// Still to be looked through.
    folders: Vec<String>,
    found: Vec<(String, FileKind)>,
    left_out: u64,
    bytes_left: u64,
    phase: Phase,
    /// Pieces that the host has asked for.
    pub(super) wanted: u32,
}

enum Phase {
    Looking,
    Telling { rest: VecDeque<(String, FileKind)>, open: Option<Open> },
}

struct Open {
    file: OwnedFd,
    left: u64,
    padding: usize,
}

impl Pack {
    pub(super) fn begin(root: &OwnedFd, path: &str, max_bytes: u64) -> Result<Self, FileFault> {
        let stat = place::stat(root, path)?;
        let (base, folders, found) = match stat.kind {
            FileKind::Folder => (open_folder(root, path)?, vec![String::new()], Vec::new()),
            FileKind::File => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let found = vec![(name.to_owned(), FileKind::File)];
                (open_folder(root, folder)?, Vec::new(), found)
            }
            FileKind::Link | FileKind::Other => return Err(FileFault::NotAFile),
        };
        let bytes_left = max_bytes.checked_sub(if found.is_empty() { 0 } else { stat.size_bytes });
        let bytes_left = bytes_left.ok_or(FileFault::TooLarge(FileLimit::Workspace))?;
        let phase = Phase::Looking;
        Ok(Self { base, folders, found, left_out: 0, bytes_left, phase, wanted: 0 })
    }

    pub(super) fn has_work(&self) -> bool {
        matches!(self.phase, Phase::Looking) || self.wanted > 0
    }

    /// Looks through a folder, or makes the next piece.
    pub(super) fn step(&mut self) -> Result<Option<FileNews>, FileFault> {
        if let Phase::Telling { rest, open } = &mut self.phase {
            self.wanted -= 1;
            return piece(&self.base, rest, open).map(Some);
        }
        if let Some(folder) = self.folders.pop() {
            self.look_through(&folder)?;
            return Ok(None);
        }
        self.found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let rest = std::mem::take(&mut self.found).into();
        self.phase = Phase::Telling { rest, open: None };
        Ok(Some(FileNews::Packing { left_out: self.left_out }))
    }

    fn look_through(&mut self, folder: &str) -> Result<(), FileFault> {
        let at = match open_folder(&self.base, folder) {
            Ok(at) => at,
            // Gone or swapped since its name was read; or not ours to read.
            Err(FileFault::NotFound | FileFault::NotAFolder) if !folder.is_empty() => return Ok(()),
            Err(_) if !folder.is_empty() => {
                self.left_out += 1;
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        for entry in Dir::read_from(&at).map_err(place::fault)? {
            let entry = entry.map_err(place::fault)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.found.len() >= MAX_ENTRIES as usize {
                return Err(FileFault::TooLarge(FileLimit::Entries));
            }
            let Ok(name) = name.to_str() else {
                self.left_out += 1;
                continue;
            };
            if is_hidden(name) {
                continue;
            }
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            let Ok(stat) = place::stat_at(&at, name) else { continue };
            self.take(path, place::described(&stat))?;
        }
        Ok(())
    }

    fn take(&mut self, path: String, stat: FileStat) -> Result<(), FileFault> {
        if check_path(&path).is_err() || stat.kind == FileKind::Other {
            self.left_out += 1;
            return Ok(());
        }
        match stat.kind {
            FileKind::File => {
                let left = self.bytes_left.checked_sub(stat.size_bytes);
                self.bytes_left = left.ok_or(FileFault::TooLarge(FileLimit::Workspace))?;
            }
            FileKind::Folder => self.folders.push(path.clone()),
            FileKind::Link if link(&self.base, &path).is_none() => {
                self.left_out += 1;
                return Ok(());
            }
            FileKind::Link | FileKind::Other => {}
        }
        self.found.push((path, stat.kind));
        Ok(())
    }
}

/// What a link says, if it can't lead out of what is packed.
fn link(base: &OwnedFd, path: &str) -> Option<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = open_folder(base, folder).ok()?;
    let target = readlinkat(&folder, name, Vec::new()).ok()?.into_string().ok()?;
    link_stays_inside(path, &target).then_some(target)
}

fn piece(
    base: &OwnedFd,
    rest: &mut VecDeque<(String, FileKind)>,
    open: &mut Option<Open>,
) -> Result<FileNews, FileFault> {
    let mut data = Vec::with_capacity(MAX_CHUNK_BYTES);
    // Room for a header with the longest name and for the end.
    while data.len() + 8 * BLOCK <= MAX_CHUNK_BYTES {
        if let Some(file) = open {
            file.read(&mut data)?;
            if file.left == 0 {
                data.resize(data.len() + file.padding, 0);
                *open = None;
            }
            continue;
        }
        let Some((path, kind)) = rest.pop_front() else {
            data.resize(data.len() + 2 * BLOCK, 0);
            return Ok(FileNews::Piece { data, last: true });
        };
        *open = begin_entry(base, &path, kind, &mut data);
    }
    Ok(FileNews::Piece { data, last: false })
}

/// Writes an entry's header. What is not any more what it was is left out.
fn begin_entry(base: &OwnedFd, path: &str, kind: FileKind, data: &mut Vec<u8>) -> Option<Open> {
    match kind {
        FileKind::File => {
            let file = place::open_file(base, path).ok()?;
            let stat = place::described(&fstat(&file).ok()?);
            write_header(data, path, None, &stat, EntryType::Regular);
            let left = stat.size_bytes;
            let padding = (left.next_multiple_of(BLOCK as u64) - left) as usize;
            Some(Open { file, left, padding })
        }
        FileKind::Folder => {
            let stat = place::stat(base, path).ok().filter(|stat| stat.kind == kind)?;
            write_header(data, &format!("{path}/"), None, &stat, EntryType::Directory);
            None
        }
        FileKind::Link => {
            let stat = place::stat(base, path).ok().filter(|stat| stat.kind == kind)?;
            let target = link(base, path)?;
            write_header(data, path, Some(&target), &stat, EntryType::Symlink);
            None
        }
        FileKind::Other => None,
    }
}

impl Open {
    /// As much as is there when we look, and as many bytes as the header said: no more, no fewer.
    fn read(&mut self, data: &mut Vec<u8>) -> Result<(), FileFault> {
        let start = data.len();
        let room = (MAX_CHUNK_BYTES - start - 8 * BLOCK / 2) as u64;
        data.resize(start + room.min(self.left) as usize, 0);
        let mut filled = start;
        while filled < data.len() {
            match rustix::io::read(&self.file, &mut data[filled..]) {
                // It has shrunk: a tar that goes on would say that its end was zeros.
                Ok(0) => return Err(FileFault::Changed),
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(place::fault(errno)),
            }
        }
        self.left -= (filled - start) as u64;
        Ok(())
    }
}

fn write_header(
    data: &mut Vec<u8>,
    path: &str,
    target: Option<&str>,
    stat: &FileStat,
    kind: EntryType,
) {
    let mut header = Header::new_ustar();
    let mut extended = Vec::new();
    // What the old fields can't hold goes before them.
    if header.set_path(path).is_err() {
        extended.extend(record("path", path));
    }
    if let Some(target) = target
        && header.set_link_name_literal(target).is_err()
    {
        extended.extend(record("linkpath", target));
    }
    if !extended.is_empty() {
        let mut before = Header::new_ustar();
        before.set_entry_type(EntryType::XHeader);
        before.set_size(extended.len() as u64);
        before.set_mode(0o644);
        before.set_cksum();
        data.extend_from_slice(before.as_bytes());
        extended.resize(extended.len().next_multiple_of(BLOCK), 0);
        data.extend(extended);
    }
    let size = if kind == EntryType::Regular { stat.size_bytes } else { 0 };
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(stat.mode);
    header.set_mtime(u64::try_from(stat.modified_ns / 1_000_000_000).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    data.extend_from_slice(header.as_bytes());
}

/// A record of an extended header, whose length counts itself.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}
