//! The files of a session as its caller sees them: beneath the workspace, a piece at a time.
//!
//! What the agent says is checked here: it shares its user with hostile code. Names are plain, pieces
//! are as long as they were to be, and nothing more comes than was asked for.

use crate::{LinkError, Sandbox, link::Call};
use contracts::{
    file::check_path,
    link::{
        MAX_CHUNK_BYTES,
        files::{
            Change, FileDone, FileFault, FileKind, FileNews, FileOrder, FileStat, MAX_CHANGES,
            MAX_PAGE, Page,
        },
    },
};

/// Pieces that are asked for before the first of them has come.
const PIECES_AHEAD: u64 = 4;

const PIECE: u64 = MAX_CHUNK_BYTES as u64;

#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The sandbox's answer to what was asked of it.
    #[error("the call failed inside the sandbox: {0:?}")]
    Fault(FileFault),
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A file that is read.
pub struct Reader {
    call: Call,
    pub stat: FileStat,
    asked: u64,
    next: u64,
    end: u64,
}

/// A tar that is read.
pub struct Packed {
    call: Call,
    pub left_out: u64,
    bytes_left: u64,
    over: bool,
}

/// A file or a tar that is written.
pub struct Writer(Call);

/// A folder that is watched.
pub struct Watcher {
    call: Call,
    /// The changes that come next were asked for.
    asked: bool,
}

impl Sandbox {
    /// An order whose answer is its end.
    async fn ask(&self, order: FileOrder) -> Result<FileDone, FilesError> {
        done(self.file_call(order).await?.next().await?)
    }

    pub async fn stat_file(&self, path: &str) -> Result<FileStat, FilesError> {
        match self.ask(FileOrder::Stat { path: path.to_owned() }).await? {
            FileDone::Stat(stat) => Ok(stat),
            _ => Err(unfit()),
        }
    }

    pub async fn list_folder(
        &self,
        path: &str,
        after: Option<String>,
        max: u32,
    ) -> Result<Page, FilesError> {
        let max = max.clamp(1, MAX_PAGE);
        match self.ask(FileOrder::List { path: path.to_owned(), after, max }).await? {
            FileDone::Page(page) => {
                let plain = |name: &str| check_path(name).is_ok() && !name.contains('/');
                let fits = page.entries.len() <= max as usize
                    && page.entries.iter().all(|(name, _)| plain(name));
                if fits { Ok(page) } else { Err(unfit()) }
            }
            _ => Err(unfit()),
        }
    }

    /// True when it was made, false when it was there.
    pub async fn make_folder(&self, path: &str) -> Result<bool, FilesError> {
        created(self.ask(FileOrder::MakeFolder { path: path.to_owned() }).await?)
    }

    /// True when nothing was replaced.
    pub async fn move_file(&self, from: &str, to: &str, replace: bool) -> Result<bool, FilesError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        created(self.ask(FileOrder::Move { from, to, replace }).await?)
    }

    pub async fn delete_file(&self, path: &str, deep: bool) -> Result<(), FilesError> {
        match self.ask(FileOrder::Delete { path: path.to_owned(), deep }).await? {
            FileDone::Deleted => Ok(()),
            _ => Err(unfit()),
        }
    }

    pub async fn read_file(&self, path: &str) -> Result<Reader, FilesError> {
        let mut call = self.file_call(FileOrder::Read { path: path.to_owned() }).await?;
        match call.next().await? {
            FileNews::Opened(stat) if stat.kind == FileKind::File => {
                Ok(Reader { call, stat, asked: 0, next: 0, end: stat.size_bytes })
            }
            other => Err(failed(other)),
        }
    }

    /// A folder or a file as a tar, with at most so many bytes of content.
    pub async fn pack(&self, path: &str, max_bytes: u64) -> Result<Packed, FilesError> {
        use contracts::{file::MAX_PATH_BYTES, link::files::MAX_ENTRIES};
        let path = path.to_owned();
        let mut call = self.file_call(FileOrder::Pack { path, max_bytes }).await?;
        let left_out = match call.next().await? {
            FileNews::Packing { left_out } => left_out,
            other => return Err(failed(other)),
        };
        for _ in 0..PIECES_AHEAD {
            call.send(FileOrder::More).await?;
        }
        // Beside the content: for each entry two headers, both of its names, and padding.
        let entry = 4 * 512 + 2 * MAX_PATH_BYTES as u64;
        let bytes_left = max_bytes.saturating_add(u64::from(MAX_ENTRIES) * entry);
        Ok(Packed { call, left_out, bytes_left, over: false })
    }

    pub async fn write_file(
        &self,
        path: &str,
        mode: Option<u32>,
        only_new: bool,
    ) -> Result<Writer, FilesError> {
        let path = path.to_owned();
        self.file_call(FileOrder::Write { path, mode, only_new }).await.map(Writer)
    }

    pub async fn unpack(&self, path: &str, max_bytes: u64) -> Result<Writer, FilesError> {
        self.file_call(FileOrder::Unpack { path: path.to_owned(), max_bytes }).await.map(Writer)
    }

    pub async fn watch(&self, path: &str, deep: bool) -> Result<Watcher, FilesError> {
        let mut call = self.file_call(FileOrder::Watch { path: path.to_owned(), deep }).await?;
        match call.next().await? {
            FileNews::Watching => Ok(Watcher { call, asked: false }),
            other => Err(failed(other)),
        }
    }
}

impl Reader {
    /// From here to before there; the whole file if nobody says. The file has its size of when it
    /// was opened.
    pub fn limit(&mut self, from: u64, to: u64) {
        (self.asked, self.next) = (from, from);
        self.end = to.min(self.stat.size_bytes);
    }

    /// The next piece; none at the end. A file that has shrunk is an error, not an end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FilesError> {
        while self.asked < self.end && self.asked < self.next + PIECES_AHEAD * PIECE {
            let bytes = PIECE.min(self.end - self.asked);
            let order = FileOrder::At { offset: self.asked, bytes: bytes as u32 };
            self.call.send(order).await?;
            self.asked += bytes;
        }
        if self.next >= self.end {
            return Ok(None);
        }
        match self.call.next().await? {
            FileNews::Piece { data, .. } => {
                let expected = PIECE.min(self.end - self.next);
                if (data.len() as u64) < expected {
                    return Err(FilesError::Fault(FileFault::Changed));
                }
                if data.len() as u64 > expected {
                    return Err(unfit());
                }
                self.next += expected;
                Ok(Some(data))
            }
            other => Err(failed(other)),
        }
    }
}

impl Packed {
    /// The next piece; none after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FilesError> {
        if self.over {
            return Ok(None);
        }
        match self.call.next().await? {
            FileNews::Piece { data, last } => {
                let size = data.len() as u64;
                self.bytes_left = self.bytes_left.checked_sub(size).ok_or(LinkError::TooMuch)?;
                self.over = last;
                if !last {
                    self.call.send(FileOrder::More).await?;
                }
                Ok(Some(data))
            }
            other => Err(failed(other)),
        }
    }
}

impl Writer {
    /// Waits while the agent is behind. An error may be that of an earlier piece.
    pub async fn write(&mut self, data: &[u8]) -> Result<(), FilesError> {
        for piece in data.chunks(MAX_CHUNK_BYTES) {
            if let Some(early) = self.0.told() {
                return Err(failed(early));
            }
            self.0.send(FileOrder::Piece { data: piece.to_vec() }).await?;
        }
        Ok(())
    }

    /// The file is whole, or the tar is. Without it, the file that is not goes.
    pub async fn finish(mut self) -> Result<FileDone, FilesError> {
        self.0.send(FileOrder::Finish).await?;
        done(self.0.next().await?)
    }
}

impl Watcher {
    /// The next changes; `Gone` is the last of them. Who stops waiting misses nothing.
    pub async fn next(&mut self) -> Result<Vec<Change>, FilesError> {
        if !self.asked {
            self.call.send(FileOrder::More).await?;
            self.asked = true;
        }
        let news = self.call.next().await?;
        self.asked = false;
        match news {
            FileNews::Changes(changes) if changes.len() <= MAX_CHANGES => {
                let plain = |change: &Change| match change {
                    Change::Created { path, .. }
                    | Change::Modified { path, .. }
                    | Change::Deleted { path, .. } => check_path(path).is_ok(),
                    Change::Overflow | Change::Gone => true,
                };
                if !changes.iter().all(plain) {
                    return Err(unfit());
                }
                Ok(changes)
            }
            other => Err(failed(other)),
        }
    }
}

fn created(done: FileDone) -> Result<bool, FilesError> {
    match done {
        FileDone::Created => Ok(true),
        FileDone::Changed => Ok(false),
        _ => Err(unfit()),
    }
}

fn done(news: FileNews) -> Result<FileDone, FilesError> {
    match news {
        FileNews::Done(done) => done.map_err(FilesError::Fault),
        _ => Err(unfit()),
    }
}

fn failed(news: FileNews) -> FilesError {
    match news {
        FileNews::Done(Err(fault)) => FilesError::Fault(fault),
        _ => unfit(),
    }
}

fn unfit() -> FilesError {
    FilesError::Link(LinkError::Protocol("its answer does not fit the call about a file"))
}
