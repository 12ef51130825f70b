//! The node's memory: jobs, their results, sessions, who owns which sandbox, where inference goes, and templates.
//!
//! One SQLite file in WAL mode, one thread that owns it. Callers send closures and wait; what is
//! queued while a transaction runs goes into the next one together, so a hundred submits share a
//! commit instead of queueing for a hundred.
//!
//! `synchronous=NORMAL`: after a commit the bytes are with the kernel, so a killed process loses
//! nothing. A power cut may lose the last moments before it, and never corrupts the file.

mod egress;
mod error;
mod jobs;
mod kept;
mod providers;
mod schema;
mod sessions;
mod templates;
mod worker;

pub use error::StoreError;
pub use jobs::{Admission, JobFilter, JobRow, Page};
pub use kept::{Ended, Kept, Outlived, Why};
pub use providers::{Change, ProviderRow, RouteRow};
pub use sessions::SessionRow;
pub use templates::TemplateRow;

use rusqlite::Transaction;
use std::{path::Path, sync::Arc};
use tokio::sync::oneshot;
use worker::Worker;

/// A handle to the store; clones share the thread.
#[derive(Clone)]
pub struct Store {
    worker: Arc<Worker>,
}

impl Store {
    /// Opens or makes the file `pinfold.db` in a folder of the caller's.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("pinfold.db");
        let connection = schema::open(&path)?;
        let checkpoints = schema::open(&path)?;
        Ok(Self { worker: Arc::new(Worker::start(connection, checkpoints)?) })
    }

    /// Runs a piece of work in the next transaction; answers after its commit.
    async fn with<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.worker.send(Box::new(move |transaction| {
            let done = work(transaction);
            let failed = done.is_err();
            (
                failed,
                Box::new(move |committed: bool| {
                    // Who asked may have stopped waiting; the work is done all the same.
                    let _unheard = answer.send(committed.then_some(done));
                }),
            )
        }))?;
        match answered.await {
            Ok(Some(done)) => done.map_err(|source| StoreError::Query { what, source }),
            Ok(None) => Err(StoreError::Commit { what }),
            Err(_) => Err(StoreError::Closed),
        }
    }

    /// A value of the node's own, such as its id.
    pub async fn meta(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.with("meta", move |db| {
            let mut found = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            let mut rows = found.query([key])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        })
        .await
    }

    pub async fn set_meta(&self, key: &'static str, value: String) -> Result<(), StoreError> {
        self.with("meta", move |db| {
            let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            db.prepare_cached(sql)?.execute([key, &value]).map(drop)
        })
        .await
    }
}
