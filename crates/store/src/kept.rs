//! What is kept of jobs and sessions that have ended, and which of them have to go: the oldest first,
//! for their age or because there are too many. One that has not ended is not looked at.

use crate::{
    Store, StoreError,
    jobs::{micros, parse},
};
use contracts::{JobId, SessionId};
use rusqlite::{Row, Transaction, params};
use time::OffsetDateTime;

/// Named at a time: bounds how long the store is busy with it.
const MOST_AT_ONCE: i64 = 256;

/// How many there are, and the bytes of their requests, results and artifacts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    pub count: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Age,
    Room,
}

/// One that has to go, as it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlived {
    pub who: Ended,
    pub why: Why,
    at: i64,
    bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Job(JobId),
    Session(SessionId),
}

impl Store {
    pub async fn kept(&self) -> Result<Kept, StoreError> {
        self.with("kept", kept).await
    }

    /// The oldest that ended before a moment, or that are beyond what may be kept. Not all at once:
    /// ask again until there are none.
    pub async fn outlived(
        &self,
        before: OffsetDateTime,
        most: Kept,
    ) -> Result<Vec<Outlived>, StoreError> {
        self.with("outlived", move |db| {
            let Kept { count, bytes } = kept(db)?;
            let mut beyond = (count.saturating_sub(most.count), bytes.saturating_sub(most.bytes));
            let sql = "SELECT ended_at, bytes, job_id, NULL FROM job WHERE state = 'ended'
                       UNION ALL
                       SELECT changed_at, bytes, NULL, session_id FROM session WHERE NOT active
                       ORDER BY 1 LIMIT ?1";
            let mut oldest = db.prepare_cached(sql)?;
            let mut gone = Vec::new();
            for ended in oldest.query_map([MOST_AT_ONCE], ended)? {
                let mut ended = ended?;
                if ended.at >= micros(before) {
                    if beyond == (0, 0) {
                        break;
                    }
                    ended.why = Why::Room;
                }
                beyond = (beyond.0.saturating_sub(1), beyond.1.saturating_sub(ended.bytes));
                gone.push(ended);
            }
            Ok(gone)
        })
        .await
    }

    /// Forgets them, but for one that runs again.
    pub async fn forget(&self, outlived: Vec<Outlived>) -> Result<(), StoreError> {
        self.with("forget", move |db| {
            let job = "DELETE FROM job WHERE job_id = ?1 AND state = 'ended' AND ended_at = ?2";
            let session =
                "DELETE FROM session WHERE session_id = ?1 AND NOT active AND changed_at = ?2";
            for Outlived { who, at, .. } in &outlived {
                match who {
                    Ended::Job(id) => db.prepare_cached(job)?.execute(params![id.as_str(), at])?,
                    Ended::Session(id) => {
                        db.prepare_cached(session)?.execute(params![id.as_str(), at])?
                    }
                };
            }
            Ok(())
        })
        .await
    }
}

fn kept(db: &Transaction<'_>) -> rusqlite::Result<Kept> {
    let sql = "SELECT count(*), ifnull(sum(bytes), 0) FROM (
                   SELECT bytes FROM job WHERE state = 'ended'
                   UNION ALL SELECT bytes FROM session WHERE NOT active)";
    db.prepare_cached(sql)?.query_row([], |row| {
        Ok(Kept { count: row.get::<_, i64>(0)? as u64, bytes: row.get::<_, i64>(1)? as u64 })
    })
}

fn ended(row: &Row<'_>) -> rusqlite::Result<Outlived> {
    let who = match row.get_ref(2)? {
        rusqlite::types::ValueRef::Null => Ended::Session(parse(row, 3, SessionId::new)?),
        _ => Ended::Job(parse(row, 2, JobId::new)?),
    };
    Ok(Outlived { who, why: Why::Age, at: row.get(0)?, bytes: row.get::<_, i64>(1)? as u64 })
}
