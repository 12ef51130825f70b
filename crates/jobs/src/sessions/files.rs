//! The files of a session: who asks for them counts as activity, and who watches them does not.

use super::{LiveSession, absent, busy::Busy};
use crate::{JobError, Node, error::FileRefusal};
use contracts::{
    SessionId,
    file::{FileView, FolderView, Unpacked},
    link::files::{Change, FileDone, FileFault, FileLimit, FileStat},
};
use executor::{
    Sandbox,
    files::{FilesError, Packed, Reader, Watcher, Writer},
};
use std::sync::Arc;

/// Names on one page of a folder, unless asked otherwise.
const PAGE: u32 = 500;

/// What a tar may be beyond its content: headers, padding, blocks behind its end.
const TAR_EXTRA_BYTES: u64 = 64 << 20;

/// A session's files, for one call.
pub struct SessionFiles {
    session: Arc<LiveSession>,
    path: String,
    busy: Busy,
}

/// A file or a tar on its way to a caller.
pub struct Download {
    files: SessionFiles,
    source: Source,
}

enum Source {
    File(Reader),
    Tar(Packed),
}

/// A file or a tar on its way into a session.
pub struct Upload {
    files: SessionFiles,
    writer: Writer,
    bytes_left: u64,
    over: FileLimit,
}

/// How an upload ended.
pub enum Uploaded {
    Created,
    Replaced,
    Unpacked(Unpacked),
}

/// What changes in a session's folder.
pub struct Watching {
    session: Arc<LiveSession>,
    watcher: Watcher,
}

impl Node {
    /// What is at a path in a session; the empty path is its workspace.
    pub async fn session_files(
        &self,
        id: &SessionId,
        path: String,
    ) -> Result<SessionFiles, JobError> {
        let Some(session) = self.inner.sessions.get(id) else {
            return Err(absent(self, id).await);
        };
        let busy = Busy::begin(&session).await?;
        Ok(SessionFiles { session, path, busy })
    }
}

impl SessionFiles {
    pub async fn stat(&self) -> Result<FileStat, JobError> {
        self.told(self.sandbox().stat_file(&self.path).await)
    }

    pub async fn list(
        &self,
        after: Option<String>,
        limit: Option<u32>,
    ) -> Result<FolderView, JobError> {
        let listed = self.sandbox().list_folder(&self.path, after, limit.unwrap_or(PAGE)).await;
        let page = self.told(listed)?;
        let next = page.more.then(|| page.entries.last().map(|(name, _)| name.clone())).flatten();
        let entries = page.entries.into_iter();
        Ok(FolderView {
            path: self.path.clone(),
            entries: entries.map(|(name, stat)| FileView::new(name, &stat)).collect(),
            next,
            unnamable: page.unnamable,
        })
    }

    /// Begins to read a file; its stat is of the file that is read.
    pub async fn read(self) -> Result<(FileStat, Download), (JobError, Self)> {
        match self.sandbox().read_file(&self.path).await {
            Ok(reader) => Ok((reader.stat, Download { files: self, source: Source::File(reader) })),
            Err(error) => Err((self.error(error), self)),
        }
    }

    /// Begins to read a folder or a file as a tar; tells how many things are not in it.
    pub async fn pack(self) -> Result<(u64, Download), JobError> {
        let most = self.session.plan.limits.workspace_bytes;
        let packed = self.told(self.sandbox().pack(&self.path, most).await)?;
        Ok((packed.left_out, Download { files: self, source: Source::Tar(packed) }))
    }

    /// Begins to write a file, of which so many bytes were announced.
    pub async fn write(
        self,
        announced: u64,
        mode: Option<u32>,
        only_new: bool,
    ) -> Result<Upload, JobError> {
        let limits = &self.session.plan.limits;
        let (bytes_left, over) = if limits.workspace_bytes < limits.file_size_bytes {
            (limits.workspace_bytes, FileLimit::Workspace)
        } else {
            (limits.file_size_bytes, FileLimit::FileSize)
        };
        if announced > bytes_left {
            return Err(self.refused(FileFault::TooLarge(over)));
        }
        let writer = self.told(self.sandbox().write_file(&self.path, mode, only_new).await)?;
        Ok(Upload { files: self, writer, bytes_left, over })
    }

    /// Begins to unpack a tar into a folder.
    pub async fn unpack(self, announced: u64) -> Result<Upload, JobError> {
        let most = self.session.plan.limits.workspace_bytes;
        let (bytes_left, over) = (most.saturating_add(TAR_EXTRA_BYTES), FileLimit::Workspace);
        if announced > bytes_left {
            return Err(self.refused(FileFault::TooLarge(over)));
        }
        let writer = self.told(self.sandbox().unpack(&self.path, most).await)?;
        Ok(Upload { files: self, writer, bytes_left, over })
    }

    /// True when it was made, false when it was there.
    pub async fn make_folder(&self) -> Result<bool, JobError> {
        self.told(self.sandbox().make_folder(&self.path).await)
    }

    /// True when nothing was replaced.
    pub async fn move_to(&self, to: &str, replace: bool) -> Result<bool, JobError> {
        self.told(self.sandbox().move_file(&self.path, to, replace).await)
    }

    pub async fn delete(&self, deep: bool) -> Result<(), JobError> {
        self.told(self.sandbox().delete_file(&self.path, deep).await)
    }

    /// Begins to watch. A watch is no activity: it does not keep its session open.
    pub async fn watch(self, deep: bool) -> Result<Watching, JobError> {
        let watcher = self.told(self.sandbox().watch(&self.path, deep).await)?;
        drop(self.busy);
        Ok(Watching { session: self.session, watcher })
    }

    fn sandbox(&self) -> &Sandbox {
        &self.session.sandbox
    }

    fn told<T>(&self, answer: Result<T, FilesError>) -> Result<T, JobError> {
        answer.map_err(|error| self.error(error))
    }

    fn refused(&self, fault: FileFault) -> JobError {
        let (path, limits) = (self.path.clone(), self.session.plan.limits.clone());
        JobError::File(Box::new(FileRefusal { path, fault, limits }))
    }

    fn error(&self, error: FilesError) -> JobError {
        match error {
            FilesError::Fault(fault) => self.refused(fault),
            FilesError::Link(error) => self.session.lost(error),
        }
    }
}

impl LiveSession {
    /// A link that failed: the session's end, if it has not come from elsewhere.
    fn lost(&self, error: executor::LinkError) -> JobError {
        if self.sandbox.is_lost() {
            self.ask_to_end(contracts::session::SessionEnd::Lost);
        }
        match self.ended() {
            Some(ended) => JobError::Gone(ended),
            None => error.into(),
        }
    }
}

impl Download {
    /// From here to before there, of a file.
    pub fn limit(&mut self, from: u64, to: u64) {
        if let Source::File(reader) = &mut self.source {
            reader.limit(from, to);
        }
    }

    /// The next piece; none at the end. An error means that it did not come to its end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, JobError> {
        let piece = match &mut self.source {
            Source::File(reader) => reader.next().await,
            Source::Tar(packed) => packed.next().await,
        };
        self.files.told(piece)
    }
}

impl Upload {
    pub async fn write(&mut self, data: &[u8]) -> Result<(), JobError> {
        let left = self.bytes_left.checked_sub(data.len() as u64);
        let too_large = FileFault::TooLarge(self.over);
        self.bytes_left = left.ok_or_else(|| self.files.refused(too_large))?;
        let written = self.writer.write(data).await;
        self.files.told(written)
    }

    /// Puts it in place. An upload that is dropped before leaves no file behind.
    pub async fn finish(self) -> Result<Uploaded, JobError> {
        Ok(match self.files.told(self.writer.finish().await)? {
            FileDone::Unpacked { entries } => Uploaded::Unpacked(Unpacked { entries }),
            FileDone::Created => Uploaded::Created,
            _ => Uploaded::Replaced,
        })
    }
}

impl Watching {
    /// The next changes; none when the session has ended.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        match self.watcher.next().await {
            Ok(changes) => Some(changes),
            Err(FilesError::Link(error)) => {
                let _ended = self.session.lost(error);
                None
            }
            Err(FilesError::Fault(_)) => None,
        }
    }
}
