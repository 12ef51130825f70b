//! A job: what a dispatcher asks for, what it is told, and the states in between.
//!
//! ```text
//!            submit                 a sandbox is claimed
//!   (none) ─────────► queued ──────────────────────────► running
//!                       │                                   │
//!                       │ cancel                            │ the program ended, or was ended
//!                       ▼                                   ▼
//!                     ended ◄─────────────────────────── ended      with a result: the program's fate
//!                       ▲                                   │
//!                  fault, from either state ────────────────┘       with a problem: ours, no exit code
//! ```

use crate::{
    Faults, JobId, TaskId, Version, egress::EgressUsage, file::Artifact, inference::InferenceUsage,
    limits::Limits, problem::Problem, sandbox::SandboxSpec,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// `POST /v1/worker/jobs:run` and `POST /v1/worker/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    pub version: Version,
    pub task_id: TaskId,
    pub job_id: JobId,
    pub sandbox: SandboxSpec,
}

impl JobRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        self.sandbox.validate(&mut faults);
        faults.into_result()
    }
}

/// How a job ended, in the words that callers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The program returned 0.
    Completed,
    /// Any other end that the program came to.
    Failed,
    Timeout,
    Canceled,
}

/// Why it ended: finer than [`Status`], additive to the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It returned by itself.
    Exit,
    /// A signal that we didn't send ended it.
    Signal,
    /// The command could not be executed at all: not found, or not executable.
    NotExecutable,
    Deadline,
    /// The kernel killed it for memory.
    Oom,
    /// It wrote so much that it was ended, far beyond what is captured.
    OutputLimit,
    /// It failed while its workspace or `/tmp` was full.
    DiskLimit,
    Cancelled,
    /// The interpreter that ran it died, and its state with it.
    KernelDied,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated {
    pub stdout: bool,
    pub stderr: bool,
}

/// What the program used, from the sandbox's own cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_ms: u64,
    pub memory_peak_bytes: u64,
    pub wall_ms: u64,
}

/// Where the time went, in milliseconds with three decimals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Waiting for a free place.
    pub queue_ms: f64,
    /// Getting a sandbox: a claim from the pool, or a cold creation.
    pub sandbox_ms: f64,
    /// True when a waiting sandbox was claimed.
    pub warm: bool,
    /// From the start of the command to its end.
    pub run_ms: f64,
}

/// The answer to `jobs:run`, and the result of the asynchronous form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    pub version: Version,
    pub task_id: TaskId,
    pub job_id: JobId,
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Set when artifacts were left out: a cap was reached, the node's disk is nearly full, or the
    /// program made them such that they can't be read or named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub artifacts_truncated: bool,
    /// What the program left in `/job/result.json`, when it was given a job spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sba_result: Option<serde_json::Value>,
    /// What it spent on models, if it could use any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceUsage>,
    /// What stood around the code, where it had a sandbox at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// What it fetched, if it had egress rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<EgressUsage>,
}

/// The layers of a sandbox that hosts have or have not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// `abi` and the version that was enforced; `none:` and why not; or `off`.
    pub landlock: String,
}

/// The end of one command: of a job, or of one `exec` in a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub status: Status,
    /// Present with `completed` and `failed`, 0 included. A signal counts as 128 + its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    pub truncated: Truncated,
    pub reason: Reason,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// One sentence for a person, where the reason alone leaves a question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub usage: Usage,
    pub timings: Timings,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Queued,
    Running,
    Ended,
}

/// `GET /v1/worker/jobs/{job_id}`: one of `result` and `problem` is there when the state is `ended`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    pub version: Version,
    pub task_id: TaskId,
    pub job_id: JobId,
    pub state: JobState,
    #[serde(with = "time::serde::rfc3339")]
    pub submitted_at: OffsetDateTime,
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<JobResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// `GET /v1/worker/jobs`: newest first, without results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    pub version: Version,
    pub jobs: Vec<JobView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// `POST /v1/worker/jobs:stop` and `POST /v1/worker/jobs/{job_id}/cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    pub version: Version,
    pub task_id: TaskId,
    pub job_id: JobId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopStatus {
    /// TERM was sent, or the job left the queue; it ends `canceled`.
    Stopping,
    /// Unknown, or ended before.
    NotRunning,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopResponse {
    pub version: Version,
    pub task_id: TaskId,
    pub job_id: JobId,
    pub status: StopStatus,
}

/// `POST /v1/worker/uploads` (body: a tar), answered with the name to use in `sandbox.upload_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadResponse {
    pub version: Version,
    pub upload_id: String,
    pub size_bytes: u64,
}

/// `POST /v1/worker/admin/stop-all-orchestrator-directed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAllResponse {
    pub version: Version,
    pub jobs_stopped: u64,
    pub sessions_ended: u64,
}
