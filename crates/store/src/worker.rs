//! The thread that owns the connection, and the grouping of work into transactions.

use crate::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

/// Pieces of work that share one commit at most: bounds how long the first of them waits.
const MOST_TOGETHER: usize = 256;

/// What to tell whoever asked, once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(bool) + Send>;

/// A piece of work: whether it failed, and its answer.
pub(crate) type Work = Box<dyn FnOnce(&Transaction<'_>) -> (bool, Answer) + Send>;

pub(crate) struct Worker {
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    pub(crate) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, work) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || serve(connection, &work))
            .map_err(StoreError::Thread)?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn send(&self, work: Work) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(work).map_err(|_| StoreError::Closed)
    }
}

impl Drop for Worker {
    /// The last handle is gone: what is queued is still done, then the thread ends.
    fn drop(&mut self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic there has been told by its own message.
            let _panicked = thread.join();
        }
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
