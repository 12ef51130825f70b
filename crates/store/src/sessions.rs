//! Sessions: which ones there are, where they live, and how they ended.

use crate::{
    Store, StoreError,
    jobs::{from_json, json, micros, parse},
};
use contracts::{
    SandboxId, SessionId,
    session::{SessionRequest, SessionState, SessionView},
};
use rusqlite::{OptionalExtension, Row, params};
use time::OffsetDateTime;

#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    pub session_id: SessionId,
    pub request: SessionRequest,
    pub request_hash: [u8; 32],
    pub view: SessionView,
    pub sandbox: Option<SandboxId>,
}

const SELECT: &str = "SELECT session_id, request, request_hash, view, sandbox FROM session";

impl Store {
    /// Keeps a session as it is now. One that has ended stays as it ended, whoever comes late.
    pub async fn save_session(&self, session: SessionRow) -> Result<(), StoreError> {
        self.with("session", move |db| {
            let sql = "INSERT INTO session
                           (session_id, task_id, request, request_hash, view, sandbox, active, changed_at,
                            bytes)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                       ON CONFLICT (session_id) DO UPDATE SET view = excluded.view,
                           sandbox = excluded.sandbox, active = excluded.active,
                           changed_at = excluded.changed_at, bytes = excluded.bytes
                       WHERE session.active";
            let (request, view) = (json(&session.request)?, json(&session.view)?);
            let values = params![
                session.session_id.as_str(),
                session.view.task_id.as_str(),
                request,
                session.request_hash,
                view,
                session.sandbox.as_ref().map(SandboxId::as_str),
                session.view.state == SessionState::Active,
                micros(OffsetDateTime::now_utc()),
                (request.len() + view.len()) as i64,
            ];
            db.prepare_cached(sql)?.execute(values).map(drop)
        })
        .await
    }

    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.with("session", move |db| {
            let sql = format!("{SELECT} WHERE session_id = ?1");
            db.prepare_cached(&sql)?.query_row([id.as_str()], row).optional()
        })
        .await
    }

    pub async fn active_sessions(&self) -> Result<Vec<SessionRow>, StoreError> {
        self.with("sessions", |db| {
            let sql = format!("{SELECT} WHERE active ORDER BY changed_at");
            db.prepare_cached(&sql)?.query_map([], row)?.collect()
        })
        .await
    }
}

fn row(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let sandbox: Option<String> = row.get(4)?;
    Ok(SessionRow {
        session_id: parse(row, 0, SessionId::new)?,
        request: from_json(row, 1)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        request_hash: row.get(2)?,
        view: from_json(row, 3)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
        sandbox: sandbox.and_then(|id| SandboxId::new(id).ok()),
    })
}
