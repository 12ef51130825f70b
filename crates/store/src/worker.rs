//! The thread that owns the connection, and the grouping of work into transactions; and beside it
//! the one that brings committed pages from the log into the file.

use crate::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// Pieces of work that share one commit at most: bounds how long the first of them waits.
const MOST_TOGETHER: usize = 256;

/// Between two checkpoints: bounds the log's growth, and what a start after a crash has to read.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// What to tell whoever asked, once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(bool) + Send>;

/// A piece of work: whether it failed, and its answer.
pub(crate) type Work = Box<dyn FnOnce(&Transaction<'_>) -> (bool, Answer) + Send>;

pub(crate) struct Worker {
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    /// Dropped to end the second thread.
    stop_checkpoints: Mutex<Option<mpsc::Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    pub(crate) fn start(
        connection: Connection,
        checkpoints: Connection,
    ) -> Result<Self, StoreError> {
        let (queue, work) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let serving = thread("store").spawn(move || serve(connection, &work));
        let bringing = thread("checkpoints").spawn(move || bring_home(&checkpoints, &stopped));
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            stop_checkpoints: Mutex::new(Some(stop)),
            threads: Mutex::new(vec![
                serving.map_err(StoreError::Thread)?,
                bringing.map_err(StoreError::Thread)?,
            ]),
        })
    }

    pub(crate) fn send(&self, work: Work) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(work).map_err(|_| StoreError::Closed)
    }
}

impl Drop for Worker {
    /// The last handle is gone: what is queued is still done, then the threads end.
    fn drop(&mut self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.stop_checkpoints.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has been told by its own message.
            let _panicked = thread.join();
        }
    }
}

/// Checkpoints without holding up the writer. The waits for the disk are all in here.
fn bring_home(connection: &Connection, stopped: &mpsc::Receiver<()>) {
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(CHECKPOINT_EVERY) {
        // One that fails leaves the log as it is, and the next one finds it.
        let _later = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

fn serve(mut connection: Connection, queue: &mpsc::Receiver<Work>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(MOST_TOGETHER - 1));
        commit_together(&mut connection, group);
    }
}

/// Runs each piece in its own savepoint, so that one that fails takes nothing of the others along.
fn commit_together(connection: &mut Connection, group: Vec<Work>) {
    let mut answers = Vec::with_capacity(group.len());
    let committed = (|| {
        let mut transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.set_drop_behavior(rusqlite::DropBehavior::Rollback);
        for work in group {
            transaction.execute_batch("SAVEPOINT piece")?;
            let (failed, answer) = work(&transaction);
            answers.push(answer);
            transaction.execute_batch(if failed {
                "ROLLBACK TO piece; RELEASE piece"
            } else {
                "RELEASE piece"
            })?;
        }
        transaction.commit()
    })();
    // Work that was not reached drops its answer, which its caller takes for a closed store.
    answers.into_iter().for_each(|answer| answer(committed.is_ok()));
}
