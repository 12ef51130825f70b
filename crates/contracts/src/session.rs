//! A session sandbox: one container that lives across many commands.

use crate::{
    Faults, SessionId, TaskId, Version,
    code::Language,
    job::Outcome,
    limits::Limits,
    sandbox::{SandboxSpec, check_command, check_env},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// `POST /v1/worker/sessions`. The sandbox's `command` stays empty: commands come by `exec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    pub version: Version,
    pub task_id: TaskId,
    pub session_id: SessionId,
    #[serde(default)]
    pub sandbox: SandboxSpec,
    /// End of the session, counted from its creation. Absent: the node's maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u64>,
    /// End of the session when no command runs for so long. Absent: the node's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// Work that goes on between commands counts as activity, and is never frozen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    /// The language of its code, when it is one for code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
}

impl SessionRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let command = &self.sandbox.command;
        faults.require(
            command.is_empty(),
            "sandbox.command",
            "belongs to exec, not to the session",
        );
        let job_only = self.sandbox.job_spec_json.is_some()
            || self.sandbox.stdin.is_some()
            || self.sandbox.stdin_open
            || self.sandbox.timeout_seconds.is_some()
            || !self.sandbox.artifacts.is_empty();
        faults.require(!job_only, "sandbox", "holds fields that only a job can have");
        check_env("sandbox.env", &self.sandbox.env, &mut faults);
        for (index, file) in self.sandbox.files.iter().enumerate() {
            file.validate(&format!("sandbox.files[{index}]"), &mut faults);
        }
        faults.require(self.lifetime_seconds != Some(0), "lifetime_seconds", "must be at least 1");
        faults.require(self.idle_seconds != Some(0), "idle_seconds", "must be at least 1");
        faults.into_result()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    Active,
    Ended,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// By `…/end`.
    Requested,
    Lifetime,
    Idle,
    /// By the stop-all of an orchestrator that shuts down.
    StopAll,
    /// Its sandbox is gone: killed, or lost with the host.
    Lost,
}

impl SessionEnd {
    /// For a person who asks for more of it.
    pub fn told(self) -> &'static str {
        match self {
            Self::Requested => "it was closed",
            Self::Lifetime => "its lifetime was over",
            Self::Idle => "it was idle for too long",
            Self::StopAll => "all sessions of the node were stopped",
            Self::Lost => "its sandbox was lost, and its state with it",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    pub version: Version,
    pub task_id: TaskId,
    pub session_id: SessionId,
    pub state: SessionState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<SessionEnd>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub ended_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    pub idle_seconds: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    pub limits: Limits,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionList {
    pub version: Version,
    pub sessions: Vec<SessionView>,
}

/// What a session does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Something runs in it.
    Active,
    /// Nothing was asked of it for a while, or since the last answer.
    Idle,
    /// Idle for so long that its processes stand still, until it is asked for something.
    Frozen,
    Ended,
}

/// `GET /sessions/{session_id}`, and the answer to a renewal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionDetail {
    pub session_id: SessionId,
    pub status: SessionStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    pub idle_seconds: u64,
    /// When idleness ends it if nothing happens. Absent while something runs.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub idle_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub background: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<SessionEnd>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub ended_at: Option<OffsetDateTime>,
}

/// `POST /sessions/{session_id}/renew`. It counts as activity also with nothing in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewRequest {
    /// The new end, counted from now. The node's longest life counts from the creation all the same.
    pub lifetime_seconds: Option<u64>,
    pub idle_seconds: Option<u64>,
}

impl RenewRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        faults.require(self.lifetime_seconds != Some(0), "lifetime_seconds", "must be at least 1");
        faults.require(self.idle_seconds != Some(0), "idle_seconds", "must be at least 1");
        faults.into_result()
    }
}

/// `POST /v1/worker/sessions/{session_id}/exec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    pub version: Version,
    pub command: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

impl ExecRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        faults.require(!self.command.is_empty(), "command", "must not be empty");
        check_command("command", &self.command, &mut faults);
        check_env("env", &self.env, &mut faults);
        faults.require(self.timeout_seconds != Some(0), "timeout_seconds", "must be at least 1");
        faults.into_result()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecResponse {
    pub version: Version,
    pub session_id: SessionId,
    #[serde(flatten)]
    pub outcome: Outcome,
}
