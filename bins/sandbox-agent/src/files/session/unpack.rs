//! A tar that comes in pieces of any size and is unpacked as it comes.
//!
//! It is an attacker's. The crate reads its headers; what they may say is decided here, before
//! anything is made: plain names beneath the folder, files, folders, and links that stay inside. The
//! rest refuses the tar by the entry's name. No link is followed, whoever made it and when.
//!
//! ```text
//!   header ─► file ─► header … zero block ─► ended (what follows is ignored)
//!      └────► extended header ─► header
//! ```

use super::{draft::Draft, place};
use contracts::{
    file::check_path,
    link::files::{EntryFault, FileFault, FileLimit, MAX_ENTRIES, link_stays_inside},
};
use rustix::{
    fs::{AtFlags, Mode, mkdirat, symlinkat, unlinkat},
    io::Errno,
};
use std::os::fd::OwnedFd;
use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;

/// Room for a path, a link's target and what other programs like to add. Kept in memory.
const MAX_EXTENDED_BYTES: u64 = 64 << 10;

/// Bytes of an entry's name in a refusal.
const MAX_TOLD: usize = 200;

/// Public for who fuzzes it.
pub struct Unpack {
    base: OwnedFd,
    state: State,
    /// What came so far of a header or an extended header.
    collected: Vec<u8>,
    told: Told,
    bytes_left: u64,
    entries: u64,
    /// Header blocks of any kind.
    headers: u32,
}

enum State {
    Header,
    Extended { kind: EntryType, left: u64, padding: u64 },
    Content { draft: Option<(Draft, u32, i64)>, left: u64, padding: u64 },
    Ended,
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Told {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Unpack {
    pub fn begin(root: &OwnedFd, path: &str, max_bytes: u64) -> Result<Self, FileFault> {
        let base = if path.is_empty() {
            super::open_folder(root, "")?
        } else {
            let (folder, name) = place::locate_making_folders(root, path)?;
            match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => super::open_folder(&folder, name)?,
                Err(errno) => return Err(place::fault(errno)),
            }
        };
        Ok(Self {
            base,
            state: State::Header,
            collected: Vec::new(),
            told: Told::default(),
            bytes_left: max_bytes,
            entries: 0,
            headers: 0,
        })
    }

    pub fn feed(&mut self, mut data: &[u8]) -> Result<(), FileFault> {
        while !data.is_empty() {
            match &mut self.state {
                State::Ended => return Ok(()),
                State::Header => {
                    let missing = BLOCK as usize - self.collected.len();
                    self.collected.extend(take(&mut data, missing as u64));
                    if self.collected.len() == BLOCK as usize {
                        let block = std::mem::take(&mut self.collected);
                        self.begin_entry(&block)?;
                    }
                }
                State::Extended { kind, left, padding } => {
                    let piece = take(&mut data, *left);
                    *left -= piece.len() as u64;
                    self.collected.extend_from_slice(piece);
                    if *left == 0 {
                        *padding -= take(&mut data, *padding).len() as u64;
                    }
                    if (*left, *padding) == (0, 0) {
                        let (kind, block) = (*kind, std::mem::take(&mut self.collected));
                        self.state = State::Header;
                        self.hear(kind, &block)?;
                    }
                }
                State::Content { draft, left, padding } => {
                    let piece = take(&mut data, *left);
                    *left -= piece.len() as u64;
                    if let Some((draft, ..)) = draft {
                        draft.write(piece)?;
                    }
                    if *left == 0 {
                        *padding -= take(&mut data, *padding).len() as u64;
                    }
                }
            }
            self.end_content()?;
        }
        Ok(())
    }

    /// How many entries were unpacked. A tar without its end was cut off.
    pub fn finish(self) -> Result<u64, FileFault> {
        match self.state {
            State::Ended => Ok(self.entries),
            _ => Err(FileFault::BrokenTar),
        }
    }

    fn end_content(&mut self) -> Result<(), FileFault> {
        let State::Content { draft, left: 0, padding: 0 } = &mut self.state else {
            return Ok(());
        };
        let draft = draft.take();
        self.state = State::Header;
        if let Some((draft, mode, modified)) = draft {
            draft.set_modified(modified);
            draft.finish(Some(mode), false)?;
        }
        Ok(())
    }

    fn begin_entry(&mut self, block: &[u8]) -> Result<(), FileFault> {
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::Ended;
            return Ok(());
        }
        self.headers += 1;
        if self.headers > MAX_ENTRIES {
            return Err(FileFault::TooLarge(FileLimit::Entries));
        }
        let header = Header::from_byte_slice(block);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        // The sum is taken with spaces in its own place.
        if header.cksum().ok() != Some(sum - own + 8 * u32::from(b' ')) {
            return Err(FileFault::BrokenTar);
        }
        let size = header.entry_size().map_err(|_| FileFault::BrokenTar)?;
        let kind = header.entry_type();
        let is_extended = kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink();
        if is_extended {
            if size > MAX_EXTENDED_BYTES {
                return Err(FileFault::TooLarge(FileLimit::TarHeader));
            }
            self.state = State::Extended { kind, left: size, padding: padding(size) };
            return Ok(());
        }
        let told = std::mem::take(&mut self.told);
        let path = told.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let size = told.size.unwrap_or(size);
        let refused = |why| FileFault::Entry { name: shown(&path), why };
        if told.sparse {
            return Err(refused(EntryFault::Sparse));
        }
        let is_folder = kind.is_dir() || (kind.is_file() && path.ends_with(b"/"));
        let Some(name) = plain(&path, is_folder).map_err(refused)? else {
            // The folder itself.
            self.skip(size);
            return Ok(());
        };
        let mode = header.mode().unwrap_or(0o644) & 0o777;
        let modified = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        match kind {
            _ if is_folder => {
                make_folder(&self.base, name, mode).map_err(|f| in_the_way(f, &path))?;
                self.skip(size);
            }
            EntryType::Regular | EntryType::Continuous => {
                let left = self.bytes_left.checked_sub(size);
                self.bytes_left = left.ok_or(FileFault::TooLarge(FileLimit::Workspace))?;
                let draft = Draft::begin(&self.base, name).map_err(|f| in_the_way(f, &path))?;
                let draft = Some((draft, mode, modified));
                self.state = State::Content { draft, left: size, padding: padding(size) };
            }
            EntryType::Symlink => {
                let target = told.target.or_else(|| header.link_name_bytes().map(Into::into));
                let target = target.and_then(|target| String::from_utf8(target).ok());
                let target = target.filter(|target| link_stays_inside(name, target));
                let target = target.ok_or_else(|| refused(EntryFault::LinkOut))?;
                make_link(&self.base, name, &target).map_err(|f| in_the_way(f, &path))?;
                self.skip(size);
            }
            EntryType::Link => return Err(refused(EntryFault::HardLink)),
            EntryType::GNUSparse => return Err(refused(EntryFault::Sparse)),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(refused(EntryFault::Device));
            }
            _ => return Err(refused(EntryFault::UnknownKind)),
        }
        self.entries += 1;
        Ok(())
    }

    fn skip(&mut self, size: u64) {
        self.state = State::Content { draft: None, left: size, padding: padding(size) };
    }

    /// Takes an extended header in.
    fn hear(&mut self, kind: EntryType, block: &[u8]) -> Result<(), FileFault> {
        let text = || block.strip_suffix(b"\0").unwrap_or(block).to_vec();
        if kind.is_gnu_longname() {
            self.told.path = Some(text());
            return Ok(());
        }
        if kind.is_gnu_longlink() {
            self.told.target = Some(text());
            return Ok(());
        }
        for record in PaxExtensions::new(block) {
            let record = record.map_err(|_| FileFault::BrokenTar)?;
            let value = record.value_bytes();
            let key = record.key_bytes();
            let matters = matches!(key, b"path" | b"linkpath" | b"size");
            if kind.is_pax_global_extensions() && matters {
                // It would give every entry that name, or that size.
                let name = shown(key);
                return Err(FileFault::Entry { name, why: EntryFault::UnknownKind });
            }
            match key {
                b"path" => self.told.path = Some(value.to_vec()),
                b"linkpath" => self.told.target = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.told.size = Some(size.ok_or(FileFault::BrokenTar)?);
                }
                _ => self.told.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(())
    }
}

/// Up to so many bytes from the front.
fn take<'a>(data: &mut &'a [u8], most: u64) -> &'a [u8] {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(data.len());
    let (piece, rest) = data.split_at(count);
    *data = rest;
    piece
}

fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// The name as a path beneath the folder; none is the folder itself.
fn plain(path: &[u8], is_folder: bool) -> Result<Option<&str>, EntryFault> {
    let mut name = std::str::from_utf8(path).map_err(|_| EntryFault::BadName)?;
    if name.starts_with('/') {
        return Err(EntryFault::Absolute);
    }
    if name.split('/').any(|part| part == "..") {
        return Err(EntryFault::Climbs);
    }
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    if is_folder {
        name = name.strip_suffix('/').unwrap_or(name);
        if matches!(name, "" | ".") {
            return Ok(None);
        }
    }
    check_path(name).map_err(|_| EntryFault::BadName)?;
    Ok(Some(name))
}

fn shown(name: &[u8]) -> String {
    let mut name = String::from_utf8_lossy(name).replace(char::is_control, "\u{fffd}");
    name.truncate(name.floor_char_boundary(MAX_TOLD));
    name
}

fn in_the_way(fault: FileFault, name: &[u8]) -> FileFault {
    match fault {
        FileFault::Link | FileFault::NotAFolder | FileFault::IsFolder | FileFault::Exists => {
            FileFault::Entry { name: shown(name), why: EntryFault::InTheWay }
        }
        fault => fault,
    }
}

fn make_folder(base: &OwnedFd, name: &str, mode: u32) -> Result<(), FileFault> {
    let (folder, name) = place::locate_making_folders(base, name)?;
    // What comes next has to fit into it.
    match mkdirat(&folder, name, Mode::from_raw_mode(mode | 0o700)) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => super::open_folder(&folder, name).map(drop),
        Err(errno) => Err(place::fault(errno)),
    }
}

fn make_link(base: &OwnedFd, name: &str, target: &str) -> Result<(), FileFault> {
    let (folder, name) = place::locate_making_folders(base, name)?;
    match unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(place::fault(errno)),
    }
    symlinkat(target, &folder, name).map_err(place::fault)
}
