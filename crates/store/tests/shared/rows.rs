//! Rows that the tests of the store write down.

use contracts::{
    JobId, TaskId, Version,
    job::{JobRequest, JobState},
    sandbox::SandboxSpec,
};
use store::JobRow;
use time::OffsetDateTime;

/// As it is admitted.
pub(crate) fn queued(id: &str, command: Vec<String>) -> JobRow {
    let (task_id, job_id) = (TaskId::new("t").unwrap(), JobId::new(id).unwrap());
    let sandbox = SandboxSpec { command, ..Default::default() };
    let request =
        JobRequest { version: Version, task_id: task_id.clone(), job_id: job_id.clone(), sandbox };
    JobRow {
        job_id,
        task_id,
        request,
        request_hash: [7; 32],
        state: JobState::Queued,
        submitted_at: OffsetDateTime::now_utc(),
        started_at: None,
        deadline_at: None,
        sandbox: None,
        exec_started: false,
        cancel_requested: false,
        result: None,
        problem: None,
    }
}
