//! Jobs: admitted once, ended once, kept until their retention is over.

use crate::{Store, StoreError};
use contracts::{
    JobId, SandboxId, TaskId,
    job::{JobRequest, JobResult, JobState},
    problem::Problem,
};
use rusqlite::{OptionalExtension, Row, Transaction, params, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    pub job_id: JobId,
    pub task_id: TaskId,
    pub request: JobRequest,
    /// Tells a repeated request from another one with the same id.
    pub request_hash: [u8; 32],
    pub state: JobState,
    pub submitted_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub deadline_at: Option<OffsetDateTime>,
    pub sandbox: Option<SandboxId>,
    /// The command was or may have been sent: it must not be sent to another sandbox.
    pub exec_started: bool,
    pub cancel_requested: bool,
    pub result: Option<JobResult>,
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    New,
    /// The id is taken, by this very job.
    Known(Box<JobRow>),
}

#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub state: Option<JobState>,
    pub task_id: Option<TaskId>,
}

/// Where a list goes on: after this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub submitted_at: i64,
    pub job_id: String,
}

impl Store {
    /// Accepts a job unless its id is known.
    pub async fn admit(&self, row: JobRow) -> Result<Admission, StoreError> {
        self.with("admit", move |db| {
            let sql =
                "INSERT INTO job (job_id, task_id, request, request_hash, state, submitted_at)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (job_id) DO NOTHING";
            let inserted = db.prepare_cached(sql)?.execute(params![
                row.job_id.as_str(),
                row.task_id.as_str(),
                json(&row.request)?,
                row.request_hash,
                state_name(row.state),
                micros(row.submitted_at),
            ])?;
            match inserted {
                0 => Ok(Admission::Known(Box::new(get(db, &row.job_id)?.ok_or(gone())?))),
                _ => Ok(Admission::New),
            }
        })
        .await
    }

    /// Queues a job again that ended by our fault before its command could have started.
    pub async fn retry(&self, job_id: JobId) -> Result<bool, StoreError> {
        self.with("retry", move |db| {
            let sql = "UPDATE job SET state = 'queued', problem = NULL, ended_at = NULL,
                              sandbox = NULL, started_at = NULL, deadline_at = NULL,
                              cancel_requested = 0
                       WHERE job_id = ?1 AND state = 'ended' AND problem IS NOT NULL
                             AND exec_started = 0";
            Ok(db.prepare_cached(sql)?.execute([job_id.as_str()])? > 0)
        })
        .await
    }

    /// The job has its sandbox: from here on its command may start there, and nowhere else.
    pub async fn assign(
        &self,
        job_id: JobId,
        sandbox: SandboxId,
        started_at: OffsetDateTime,
        deadline_at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        self.with("assign", move |db| {
            let sql = "UPDATE job SET state = 'running', sandbox = ?2, started_at = ?3,
                              deadline_at = ?4, exec_started = 1
                       WHERE job_id = ?1 AND state != 'ended'";
            let values =
                params![job_id.as_str(), sandbox.as_str(), micros(started_at), micros(deadline_at)];
            db.prepare_cached(sql)?.execute(values).map(drop)
        })
        .await
    }

    pub async fn request_cancel(&self, job_id: JobId) -> Result<(), StoreError> {
        self.with("cancel", move |db| {
            let sql = "UPDATE job SET cancel_requested = 1 WHERE job_id = ?1 AND state != 'ended'";
            db.prepare_cached(sql)?.execute([job_id.as_str()]).map(drop)
        })
        .await
    }

    /// Ends a job, once: `false` when it had ended before.
    pub async fn finish(
        &self,
        job_id: JobId,
        end: Result<JobResult, Problem>,
    ) -> Result<bool, StoreError> {
        self.with("finish", move |db| {
            let sql = "UPDATE job SET state = 'ended', ended_at = ?2, result = ?3, problem = ?4,
                              bytes = length(CAST(request AS BLOB)) + ?5
                       WHERE job_id = ?1 AND state != 'ended'";
            let (result, problem) = match &end {
                Ok(result) => (Some(json(result)?), None),
                Err(problem) => (None, Some(json(problem)?)),
            };
            let now = micros(OffsetDateTime::now_utc());
            let files = end.iter().flat_map(|result| &result.artifacts).map(|file| file.size_bytes);
            let text = result.as_ref().or(problem.as_ref()).map_or(0, String::len) as u64;
            let bytes = files.fold(text, u64::saturating_add) as i64;
            let values = params![job_id.as_str(), now, result, problem, bytes];
            Ok(db.prepare_cached(sql)?.execute(values)? > 0)
        })
        .await
    }

    pub async fn job(&self, job_id: JobId) -> Result<Option<JobRow>, StoreError> {
        self.with("job", move |db| get(db, &job_id)).await
    }

    /// Jobs that an earlier life of the node left, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<JobRow>, StoreError> {
        self.with("unfinished", |db| {
            let sql = format!("{SELECT} WHERE state != 'ended' ORDER BY submitted_at, job_id");
            db.prepare(&sql)?.query_map([], row)?.collect()
        })
        .await
    }

    /// Newest first.
    pub async fn jobs(
        &self,
        filter: JobFilter,
        after: Option<Page>,
        limit: usize,
    ) -> Result<Vec<JobRow>, StoreError> {
        self.with("jobs", move |db| {
            let sql = format!(
                "{SELECT} WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR task_id = ?2)
                   AND (?3 IS NULL OR (submitted_at, job_id) < (?3, ?4))
                 ORDER BY submitted_at DESC, job_id DESC LIMIT ?5"
            );
            let (at, id) = after.map(|page| (page.submitted_at, page.job_id)).unzip();
            let state = filter.state.map(state_name);
            let task = filter.task_id.map(String::from);
            let values = params![state, task, at, id, limit as i64];
            db.prepare_cached(&sql)?.query_map(values, row)?.collect()
        })
        .await
    }
}

const SELECT: &str =
    "SELECT job_id, task_id, request, request_hash, state, submitted_at, started_at,
    deadline_at, sandbox, exec_started, cancel_requested, result, problem FROM job";

fn get(db: &Transaction<'_>, job_id: &JobId) -> rusqlite::Result<Option<JobRow>> {
    let sql = format!("{SELECT} WHERE job_id = ?1");
    db.prepare_cached(&sql)?.query_row([job_id.as_str()], row).optional()
}

fn row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let sandbox: Option<String> = row.get(8)?;
    let state: String = row.get(4)?;
    Ok(JobRow {
        job_id: parse(row, 0, JobId::new)?,
        task_id: parse(row, 1, TaskId::new)?,
        request: from_json(row, 2)?.ok_or(gone())?,
        request_hash: row.get(3)?,
        state: match state.as_str() {
            "queued" => JobState::Queued,
            "running" => JobState::Running,
            _ => JobState::Ended,
        },
        submitted_at: moment(row.get(5)?),
        started_at: row.get::<_, Option<i64>>(6)?.map(moment),
        deadline_at: row.get::<_, Option<i64>>(7)?.map(moment),
        sandbox: sandbox.and_then(|id| SandboxId::new(id).ok()),
        exec_started: row.get(9)?,
        cancel_requested: row.get(10)?,
        result: from_json(row, 11)?,
        problem: from_json(row, 12)?,
    })
}

pub(crate) fn parse<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(String) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let wrong = |e: E| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e));
    parse(row.get(column)?).map_err(wrong)
}

pub(crate) fn json<T: Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

pub(crate) fn from_json<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    let wrong = |e: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, e.into())
    };
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(wrong)).transpose()
}

fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Ended => "ended",
    }
}

/// Microseconds since the epoch: sortable, and fine enough that a page never splits a moment badly.
pub(crate) fn micros(moment: OffsetDateTime) -> i64 {
    (moment.unix_timestamp_nanos() / 1000) as i64
}

pub(crate) fn moment(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn gone() -> rusqlite::Error {
    rusqlite::Error::QueryReturnedNoRows
}

impl Page {
    /// Where a list that ended with this job goes on.
    pub fn after(row: &JobRow) -> Self {
        Self { submitted_at: micros(row.submitted_at), job_id: row.job_id.to_string() }
    }
}
