//! The wire as callers know it, to the letter: a change here breaks somebody.

use contracts::{
    JobId, TaskId, Version,
    job::{
        JobRequest, JobResult, Outcome, Reason, Status, StopResponse, StopStatus, Timings,
        Truncated, Usage,
    },
    limits::Limits,
    problem::{Problem, ProblemType},
    sandbox::NetworkPolicy,
    session::{ExecRequest, SessionRequest},
};
use serde_json::json;
use time::macros::datetime;

fn request(sandbox: serde_json::Value) -> Result<JobRequest, String> {
    let text = json!({"version": 1, "task_id": "t", "job_id": "j", "sandbox": sandbox}).to_string();
    let request: JobRequest = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    request.validate().map_err(|faults| faults.to_string())?;
    Ok(request)
}

#[test]
fn the_contracts_example_is_a_request() {
    let text = r#"{"version":1,"task_id":"t","job_id":"j","sandbox":{"image":"docker.io/library/bash:latest",
        "command":["bash","-lc","echo hello"],"env":{"KEY":"VALUE"},"timeout_seconds":300,
        "network_policy":"restricted","use_inference":false}}"#;
    let request: JobRequest = serde_json::from_str(text).unwrap();
    assert!(request.validate().is_ok());
    assert_eq!(request.sandbox.network_policy, NetworkPolicy::Restricted);
}

#[test]
fn a_policy_that_nobody_knows_means_no_network() {
    for policy in ["", "allow", "none", "RESTRICTED"] {
        let request = request(json!({"command": ["x"], "network_policy": policy})).unwrap();
        assert_eq!(request.sandbox.network_policy, NetworkPolicy::None, "{policy}");
    }
}

#[test]
fn each_fault_names_its_field() {
    for (sandbox, field) in [
        (json!({"command": []}), "sandbox.command"),
        (json!({"command": [""]}), "sandbox.command"),
        (json!({"command": ["a\u{0}b"]}), "sandbox.command"),
        (json!({"command": ["x"], "timeout_seconds": 0}), "sandbox.timeout_seconds"),
        (json!({"command": ["x"], "env": {"A=B": "c"}}), "sandbox.env"),
        (json!({"command": ["x"], "env": {"A": "\u{0}"}}), "sandbox.env.A"),
        (
            json!({"command": ["x"], "files": [{"path": "../x", "content": ""}]}),
            "sandbox.files[0].path",
        ),
        (json!({"command": ["x"], "files": [{"path": "x"}]}), "sandbox.files[0]"),
        (json!({"command": ["x"], "artifacts": ["/etc/*"]}), "sandbox.artifacts[0]"),
        (json!({"job_spec_json": "{"}), "sandbox.job_spec_json"),
    ] {
        let fault = request(sandbox.clone()).expect_err(&sandbox.to_string());
        assert!(fault.starts_with(field), "{sandbox}: {fault}");
    }
}

#[test]
fn unknown_fields_and_other_versions_are_refused() {
    assert!(request(json!({"command": ["x"], "privileged": true})).is_err());
    let exec = json!({"version": 1, "command": ["x"], "tty": true}).to_string();
    assert!(serde_json::from_str::<ExecRequest>(&exec).is_err());
    let session = json!({"version": 2, "task_id": "t", "session_id": "s"}).to_string();
    assert!(serde_json::from_str::<SessionRequest>(&session).is_err());
}

#[test]
fn a_result_is_what_the_dispatcher_reads() {
    let result = JobResult {
        version: Version,
        task_id: TaskId::new("t").unwrap(),
        job_id: JobId::new("j").unwrap(),
        outcome: Outcome {
            status: Status::Completed,
            exit_code: Some(0),
            stdout: "hello\n".to_owned(),
            stderr: String::new(),
            started_at: datetime!(2026-02-16 12:00:00 UTC),
            ended_at: datetime!(2026-02-16 12:00:01 UTC),
            truncated: Truncated::default(),
            reason: Reason::Exit,
            signal: None,
            detail: None,
            usage: Usage::default(),
            timings: Timings::default(),
            limits: Limits::DEFAULT,
        },
        artifacts: Vec::new(),
        artifacts_truncated: false,
        sba_result: None,
        inference: None,
        isolation: None,
        egress: None,
    };
    let written = serde_json::to_value(&result).unwrap();
    for (field, expected) in [
        ("version", json!(1)),
        ("status", json!("completed")),
        ("exit_code", json!(0)),
        ("stdout", json!("hello\n")),
        ("stderr", json!("")),
        ("started_at", json!("2026-02-16T12:00:00Z")),
        ("ended_at", json!("2026-02-16T12:00:01Z")),
        ("truncated", json!({"stdout": false, "stderr": false})),
        ("reason", json!("exit")),
    ] {
        assert_eq!(written[field], expected, "{field}");
    }
    assert_eq!(serde_json::from_value::<JobResult>(written).unwrap(), result);
}

#[test]
fn the_other_words_of_the_wire() {
    let stop = StopResponse {
        version: Version,
        task_id: TaskId::new("t").unwrap(),
        job_id: JobId::new("j").unwrap(),
        status: StopStatus::NotRunning,
    };
    assert_eq!(
        serde_json::to_value(stop).unwrap(),
        json!({"version": 1, "task_id": "t", "job_id": "j", "status": "not_running"})
    );
    let problem = Problem::new(ProblemType::RateLimit, 503, "Node is full");
    assert_eq!(
        serde_json::to_value(problem).unwrap(),
        json!({"type": "urn:cynodeai:error:rate_limit", "title": "Node is full", "status": 503})
    );
}
