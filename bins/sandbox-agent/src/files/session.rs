//! The calls of callers about a session's files: which are under way, and what each does next.
//!
//! Nothing here waits. What may take long (a deep deletion, a walk) goes on a step at a time between
//! everything else that the agent does; what has to be sent waits until the host asks for it.

mod deletion;
mod draft;
mod pack;
mod page;
mod place;
mod unpack;
mod watch;

use contracts::{
    file::check_path,
    link::{
        MAX_CHUNK_BYTES, RequestId,
        files::{FileDone, FileFault, FileNews, FileOrder, MAX_CALLS, MODE_BITS},
    },
};
use deletion::{Deletion, Progress};
use draft::Draft;
use pack::Pack;
use rustix::{
    event::{PollFd, PollFlags},
    fs::{AtFlags, FileType, Mode, OFlags, fstat, mkdirat, unlinkat},
    io::Errno,
};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};
pub use unpack::Unpack;
use watch::Watch;

/// Calls at a time: the host counts those that it has ended, and we may not have heard of it yet.
const MOST: usize = 2 * MAX_CALLS;

/// Reads of one open file that may wait for room on the link.
const MAX_READS: usize = 16;

#[derive(Default)]
pub(crate) struct Calls(BTreeMap<RequestId, Call>);

enum Call {
    Reading { file: OwnedFd, asked: Vec<(u64, u32)> },
    Writing { draft: Draft, mode: Option<u32>, only_new: bool },
    Unpacking(Box<Unpack>),
    Packing(Box<Pack>),
    Deleting(Box<Deletion>),
    Watching(Box<Watch>),
}

impl Calls {
    /// Begins a call or goes on with one. Most have their end at once.
    pub(crate) fn take(
        &mut self,
        root: &Path,
        request: RequestId,
        order: FileOrder,
    ) -> Option<FileNews> {
        let news = match order {
            FileOrder::At { .. } | FileOrder::More | FileOrder::Piece { .. } => {
                self.go_on(request, order)
            }
            FileOrder::Finish => self.finish(request),
            FileOrder::Close => {
                self.0.remove(&request);
                return None;
            }
            _ if self.0.len() >= MOST => Err(FileFault::TooMany),
            order => self.begin(root, request, order),
        };
        news.unwrap_or_else(|fault| {
            self.0.remove(&request);
            Some(FileNews::Done(Err(fault)))
        })
    }

    fn begin(
        &mut self,
        root: &Path,
        request: RequestId,
        order: FileOrder,
    ) -> Result<Option<FileNews>, FileFault> {
        let root = place::root(root)?;
        let done = |done| Ok(Some(FileNews::Done(Ok(done))));
        let (call, news) = match order {
            FileOrder::Stat { path } => return done(FileDone::Stat(place::stat(&root, &path)?)),
            FileOrder::List { path, after, max } => {
                return done(FileDone::Page(page::read(&root, &path, after.as_deref(), max)?));
            }
            FileOrder::MakeFolder { path } => return done(make_folder(&root, &path)?),
            FileOrder::Move { from, to, replace } => {
                return done(place::move_to(&root, &from, &to, replace)?);
            }
            FileOrder::Delete { path, deep } => match delete(&root, &path, deep)? {
                None => return done(FileDone::Deleted),
                Some(deletion) => (Call::Deleting(Box::new(deletion)), None),
            },
            FileOrder::Read { path } => {
                let file = place::open_file(&root, &path)?;
                let stat = place::described(&fstat(&file).map_err(place::fault)?);
                (Call::Reading { file, asked: Vec::new() }, Some(FileNews::Opened(stat)))
            }
            FileOrder::Write { path, mode, only_new } => {
                let draft = Draft::begin(&root, &path)?;
                (Call::Writing { draft, mode, only_new }, None)
            }
            FileOrder::Unpack { path, max_bytes } => {
                (Call::Unpacking(Box::new(Unpack::begin(&root, &path, max_bytes)?)), None)
            }
            FileOrder::Pack { path, max_bytes } => {
                (Call::Packing(Box::new(Pack::begin(&root, &path, max_bytes)?)), None)
            }
            FileOrder::Watch { path, deep } => {
                let watch = Watch::begin(root, &path, deep)?;
                (Call::Watching(Box::new(watch)), Some(FileNews::Watching))
            }
            _ => return Err(FileFault::Order),
        };
        self.0.insert(request, call);
        Ok(news)
    }

    /// An order for a call that has ended is dropped: its end was told.
    fn go_on(
        &mut self,
        request: RequestId,
        order: FileOrder,
    ) -> Result<Option<FileNews>, FileFault> {
        match (self.0.get_mut(&request), order) {
            (None, _) => {}
            (Some(Call::Reading { asked, .. }), FileOrder::At { offset, bytes })
                if asked.len() < MAX_READS =>
            {
                asked.push((offset, bytes));
            }
            (Some(Call::Writing { draft, .. }), FileOrder::Piece { data }) => draft.write(&data)?,
            (Some(Call::Unpacking(unpack)), FileOrder::Piece { data }) => unpack.feed(&data)?,
            (Some(Call::Packing(pack)), FileOrder::More) => pack.wanted += 1,
            (Some(Call::Watching(watch)), FileOrder::More) => watch.wanted += 1,
            (Some(_), _) => return Err(FileFault::Order),
        }
        Ok(None)
    }

    fn finish(&mut self, request: RequestId) -> Result<Option<FileNews>, FileFault> {
        let done = match self.0.remove(&request) {
            None => return Ok(None),
            Some(Call::Writing { draft, mode, only_new }) => {
                let mode = mode.map(|mode| mode & MODE_BITS);
                if draft.finish(mode, only_new)? { FileDone::Created } else { FileDone::Changed }
            }
            Some(Call::Unpacking(unpack)) => FileDone::Unpacked { entries: unpack.finish()? },
            Some(_) => return Err(FileFault::Order),
        };
        Ok(Some(FileNews::Done(Ok(done))))
    }

    /// The host is gone. Whole files stay, half ones go.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether a step can be taken now.
    pub(crate) fn has_work(&self) -> bool {
        self.0.values().any(|call| match call {
            Call::Deleting(_) => true,
            Call::Packing(pack) => pack.has_work(),
            Call::Watching(watch) => watch.has_news(),
            Call::Reading { asked, .. } => !asked.is_empty(),
            Call::Writing { .. } | Call::Unpacking(_) => false,
        })
    }

    pub(crate) fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        for call in self.0.values() {
            if let Call::Watching(watch) = call
                && watch.listens()
            {
                fds.push(PollFd::from_borrowed_fd(watch.fd(), PollFlags::IN));
            }
        }
    }

    /// A step of every call, and what there is to tell of it.
    pub(crate) fn step(&mut self) -> Vec<(RequestId, FileNews)> {
        let mut told = Vec::new();
        for (request, call) in &mut self.0 {
            let news = match call {
                Call::Reading { file, asked } if !asked.is_empty() => {
                    let (offset, bytes) = asked.remove(0);
                    read_at(file, offset, bytes).map(Some)
                }
                Call::Deleting(deletion) => deletion.step().map(|progress| match progress {
                    Progress::More => None,
                    Progress::Done => Some(FileNews::Done(Ok(FileDone::Deleted))),
                }),
                Call::Packing(pack) if pack.has_work() => pack.step(),
                Call::Watching(watch) => Ok(watch.step()),
                Call::Reading { .. } | Call::Writing { .. } => Ok(None),
                Call::Unpacking(_) | Call::Packing(_) => Ok(None),
            };
            let news = news.unwrap_or_else(|fault| Some(FileNews::Done(Err(fault))));
            told.extend(news.map(|news| (*request, news)));
        }
        for (request, news) in &told {
            if matches!(news, FileNews::Done(_) | FileNews::Piece { last: true, .. }) {
                self.0.remove(request);
            }
        }
        told
    }
}

fn read_at(file: &OwnedFd, offset: u64, bytes: u32) -> Result<FileNews, FileFault> {
    let mut data = vec![0; (bytes as usize).min(MAX_CHUNK_BYTES)];
    let mut filled = 0;
    while filled < data.len() {
        match rustix::io::pread(file, &mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(place::fault(errno)),
        }
    }
    data.truncate(filled);
    // The host counts: only it knows what it wants of the file, so no piece is the last here.
    Ok(FileNews::Piece { data, last: false })
}

fn make_folder(root: &OwnedFd, path: &str) -> Result<FileDone, FileFault> {
    let (folder, name) = place::locate_making_folders(root, path)?;
    match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(FileDone::Created),
        Err(Errno::EXIST) => {
            let stat = place::stat_at(&folder, name)?;
            let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if folder { Ok(FileDone::Changed) } else { Err(FileFault::Exists) }
        }
        Err(errno) => Err(place::fault(errno)),
    }
}

/// Deletes what can be deleted at once, or begins to.
fn delete(root: &OwnedFd, path: &str, deep: bool) -> Result<Option<Deletion>, FileFault> {
    check_path(path).map_err(|_| FileFault::Denied)?;
    let (folder, name) = place::locate(root, path)?;
    match unlinkat(&folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(place::fault(errno)),
    }
    match unlinkat(&folder, name, AtFlags::REMOVEDIR) {
        Ok(()) => Ok(None),
        Err(Errno::NOTEMPTY | Errno::EXIST) if deep => Deletion::begin(folder, name).map(Some),
        Err(errno) => Err(place::fault(errno)),
    }
}

/// A folder for reading its entries.
fn open_folder(at: impl AsFd, path: &str) -> Result<OwnedFd, FileFault> {
    let path = if path.is_empty() { "." } else { path };
    place::open(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK)
}
