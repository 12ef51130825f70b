//! The tables, and the way from an older file to this version's.

use crate::StoreError;
use rusqlite::Connection;
use std::{os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

/// Each entry brings a file from its index to the next version, in one transaction.
const MIGRATIONS: [&str; 4] = [
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE job (
    job_id           TEXT PRIMARY KEY,
    task_id          TEXT NOT NULL,
    request          TEXT NOT NULL,
    request_hash     BLOB NOT NULL,
    state            TEXT NOT NULL,
    submitted_at     INTEGER NOT NULL,
    started_at       INTEGER,
    deadline_at      INTEGER,
    sandbox          TEXT,
    exec_started     INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    ended_at         INTEGER,
    result           TEXT,
    problem          TEXT
) STRICT;
CREATE INDEX job_unfinished ON job (submitted_at) WHERE state != 'ended';
CREATE INDEX job_by_time ON job (submitted_at, job_id);
CREATE INDEX job_ended ON job (ended_at) WHERE state = 'ended';

CREATE TABLE session (
    session_id   TEXT PRIMARY KEY,
    task_id      TEXT NOT NULL,
    request      TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    view         TEXT NOT NULL,
    sandbox      TEXT,
    active       INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;
",
    "
CREATE TABLE provider (
    name       TEXT PRIMARY KEY,
    spec       TEXT NOT NULL,
    credential BLOB,
    sealed_for INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE route (
    alias      TEXT PRIMARY KEY,
    targets    TEXT NOT NULL,
    timeouts   TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
",
    "
CREATE TABLE template (
    name       TEXT PRIMARY KEY,
    id         TEXT NOT NULL,
    spec       TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
",
    // What each ended job and session takes, so that their sum is in an index.
    "
ALTER TABLE job ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE job SET bytes = length(CAST(request AS BLOB)) + ifnull(length(CAST(result AS BLOB)), 0)
        + ifnull((SELECT sum(value ->> '$.size_bytes') FROM json_each(job.result, '$.artifacts')), 0)
    WHERE state = 'ended';
DROP INDEX job_ended;
CREATE INDEX job_ended ON job (ended_at, bytes) WHERE state = 'ended';

ALTER TABLE session ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE session SET bytes = length(CAST(request AS BLOB)) + length(CAST(view AS BLOB));
CREATE INDEX session_ended ON session (changed_at, bytes) WHERE NOT active;
",
];

pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let name = path.display().to_string();
    let failed = |source| StoreError::Open { path: name.clone(), source };
    // Made by us before SQLite opens it: jobs' environments are in it, and the umask is not ours.
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(|e| failed(rusqlite::Error::ToSqlConversionFailure(e.into())))?;
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    // Or now and then a commit would pay for bringing a thousand others' pages to the disk.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    let found: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(StoreError::Newer { path: name, found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let step = connection.transaction().map_err(failed)?;
        step.execute_batch(migration).map_err(failed)?;
        step.pragma_update(None, "user_version", index as u32 + 1).map_err(failed)?;
        step.commit().map_err(failed)?;
    }
    Ok(connection)
}
