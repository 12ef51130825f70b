//! What changes in a folder, by inotify. Changes wait in the kernel until the host asks for them; when
//! that is too many, it is told to look anew.

use super::{draft::is_hidden, open_folder, place};
use contracts::{
    file::check_path,
    link::files::{Change, FileFault, FileKind, FileNews, MAX_CHANGES, MAX_WATCHED},
};
use rustix::{
    fs::{
        Dir, FileType,
        inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    },
    io::Errno,
};
use std::{
    collections::{HashMap, VecDeque},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

/// Changes that wait here. Beyond it they are forgotten, and that is told.
const MAX_WAITING: usize = 16 * MAX_CHANGES;

/// Entries of new folders that are told one by one.
const MAX_TOLD: usize = 4096;

pub(super) struct Watch {
    root: OwnedFd,
    inotify: OwnedFd,
    deep: bool,
    /// Watched folders by their number, as paths from the workspace.
    folders: HashMap<i32, String>,
    /// Of a single file: its name.
    only: Option<String>,
    first: i32,
    waiting: VecDeque<Change>,
    /// Frames that the host has asked for.
    pub(super) wanted: u32,
    over: bool,
}

impl Watch {
    pub(super) fn begin(root: OwnedFd, path: &str, deep: bool) -> Result<Self, FileFault> {
        let kind = place::stat(&root, path)?.kind;
        let (folder, only) = match kind {
            FileKind::Folder => (path, None),
            FileKind::File => {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                (folder, Some(name.to_owned()))
            }
            FileKind::Link => return Err(FileFault::Link),
            FileKind::Other => return Err(FileFault::NotAFile),
        };
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).map_err(place::fault)?;
        let deep = deep && only.is_none();
        let mut watch = Self {
            root,
            inotify,
            deep,
            folders: HashMap::new(),
            only,
            first: 0,
            waiting: VecDeque::new(),
            wanted: 0,
            over: false,
        };
        let (first, opened) = watch.add(folder)?;
        watch.first = first;
        if deep {
            watch.look_through(folder.to_owned(), opened, false);
        }
        Ok(watch)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    pub(super) fn listens(&self) -> bool {
        self.wanted > 0 && self.waiting.is_empty() && !self.over
    }

    pub(super) fn has_news(&self) -> bool {
        self.wanted > 0 && !self.waiting.is_empty()
    }

    pub(super) fn step(&mut self) -> Option<FileNews> {
        if self.listens() {
            self.read();
        }
        if !self.has_news() {
            return None;
        }
        self.wanted -= 1;
        let count = self.waiting.len().min(MAX_CHANGES);
        Some(FileNews::Changes(self.waiting.drain(..count).collect()))
    }

    fn add(&mut self, path: &str) -> Result<(i32, OwnedFd), FileFault> {
        let folder = open_folder(&self.root, path)?;
        let mask = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        // By the descriptor, for which nobody can put another folder.
        let at = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let number = inotify::add_watch(&self.inotify, at, mask).map_err(|errno| match errno {
            // The user has no watches left.
            Errno::NOSPC | Errno::NOMEM => FileFault::TooMany,
            errno => place::fault(errno),
        })?;
        self.folders.insert(number, path.to_owned());
        Ok((number, folder))
    }

    fn tell(&mut self, change: Change) {
        // A program that writes a byte at a time is told of once.
        if self.waiting.back() == Some(&change) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.clear();
            self.waiting.push_back(Change::Overflow);
        }
        self.waiting.push_back(change);
    }

    /// Watches what is beneath a folder, which is watched itself already.
    fn look_through(&mut self, path: String, opened: OwnedFd, is_new: bool) {
        let mut folders = vec![(path, opened)];
        let mut told = 0;
        while let Some((path, opened)) = folders.pop() {
            let Ok(entries) = Dir::read_from(&opened) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str().ok().filter(|name| check_path(name).is_ok()) else {
                    continue;
                };
                let path = joined(&path, name);
                let folder = entry.file_type() == FileType::Directory;
                if is_new && told < MAX_TOLD {
                    told += 1;
                    self.tell(Change::Created { path: path.clone(), folder });
                } else if is_new {
                    self.tell(Change::Overflow);
                    return;
                }
                if !folder {
                    continue;
                }
                if self.folders.len() >= MAX_WATCHED {
                    self.tell(Change::Overflow);
                    return;
                }
                // One that is gone again has nothing to be told of but its end.
                if let Ok((_, opened)) = self.add(&path) {
                    folders.push((path, opened));
                }
            }
        }
    }

    fn read(&mut self) {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut events = Vec::new();
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        // What was read has to be taken; more is read while it fits into a frame.
        while !reader.is_buffer_empty() || events.len() < MAX_CHANGES {
            let Ok(event) = reader.next() else { break };
            let name = event.file_name().map(|name| name.to_str().unwrap_or_default().to_owned());
            events.push((event.wd(), event.events(), name));
        }
        for (number, flags, name) in events {
            self.hear(number, flags, name);
        }
    }

    fn hear(&mut self, number: i32, flags: ReadFlags, name: Option<String>) {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.tell(Change::Overflow);
        }
        if flags.contains(ReadFlags::IGNORED) {
            self.folders.remove(&number);
        }
        let ends = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
        if number == self.first && flags.intersects(ends | ReadFlags::IGNORED) && !self.over {
            self.over = true;
            return self.tell(Change::Gone);
        }
        let (Some(folder), Some(name)) = (self.folders.get(&number), name) else { return };
        let told = self.only.as_ref().is_none_or(|only| *only == name);
        if !told || is_hidden(&name) || check_path(&name).is_err() {
            return;
        }
        let path = joined(folder, &name);
        let folder = flags.contains(ReadFlags::ISDIR);
        let appeared = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        let vanished = flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM);
        if vanished && folder {
            self.forget(&path);
        }
        let watches = appeared && folder && self.deep;
        let begun = path.clone();
        self.tell(match (appeared, vanished) {
            (true, _) => Change::Created { path, folder },
            (_, true) => Change::Deleted { path, folder },
            _ => Change::Modified { path, folder },
        });
        if watches {
            if self.folders.len() >= MAX_WATCHED {
                self.tell(Change::Overflow);
            } else if let Ok((_, opened)) = self.add(&begun) {
                // What was made before we looked makes no event.
                self.look_through(begun, opened, true);
            }
        }
    }

    /// A folder has another place now, or none.
    fn forget(&mut self, path: &str) {
        let beneath =
            |at: &str| at.strip_prefix(path).is_some_and(|at| at.is_empty() || at.starts_with('/'));
        let gone: Vec<i32> =
            self.folders.iter().filter(|(_, at)| beneath(at)).map(|(number, _)| *number).collect();
        for number in gone {
            self.folders.remove(&number);
            // A folder that was deleted has no watch any more.
            let _gone = inotify::remove_watch(&self.inotify, number);
        }
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
