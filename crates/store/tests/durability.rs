//! What the store promises about jobs: admitted once, ended once, and there after a crash.

#[path = "shared/rows.rs"]
mod rows;

use contracts::{
    JobId, SessionId, TaskId, Version,
    job::JobState,
    limits::Limits,
    problem::{Problem, ProblemType},
    sandbox::SandboxSpec,
    session::{SessionRequest, SessionState, SessionView},
};
use store::{Admission, JobFilter, JobRow, Page, SessionRow, Store};
use time::OffsetDateTime;

fn job(id: &str) -> JobRow {
    rows::queued(id, vec!["true".to_owned()])
}

fn session(state: SessionState) -> SessionRow {
    let (task_id, session_id) = (TaskId::new("t").unwrap(), SessionId::new("s").unwrap());
    let request = SessionRequest {
        version: Version,
        task_id: task_id.clone(),
        session_id: session_id.clone(),
        sandbox: SandboxSpec::default(),
        lifetime_seconds: None,
        idle_seconds: None,
        background: false,
        lang: None,
    };
    let view = SessionView {
        version: Version,
        task_id,
        session_id: session_id.clone(),
        state,
        ended: None,
        ended_at: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH,
        idle_seconds: 1,
        background: false,
        limits: Limits::DEFAULT,
        lang: None,
    };
    SessionRow { session_id, request, request_hash: [7; 32], view, sandbox: None }
}

fn problem() -> Problem {
    Problem::new(ProblemType::Internal, 500, "gone")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_callers_with_one_id_one_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = store.clone();
        callers.spawn(async move { store.admit(job("a")).await.unwrap() });
    }
    let admissions = callers.join_all().await;
    let new = admissions.iter().filter(|admission| **admission == Admission::New).count();
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_job_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.admit(job("a")).await.unwrap();
    let id = JobId::new("a").unwrap();
    assert!(store.finish(id.clone(), Err(problem())).await.unwrap());
    assert!(!store.finish(id.clone(), Err(problem())).await.unwrap());
    assert_eq!(store.job(id).await.unwrap().unwrap().state, JobState::Ended);
}

#[tokio::test]
async fn only_a_job_whose_command_never_started_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (a, b) = (JobId::new("a").unwrap(), JobId::new("b").unwrap());
    for id in [&a, &b] {
        store.admit(job(id.as_str())).await.unwrap();
    }
    let sandbox = contracts::SandboxId::new("s").unwrap();
    let now = OffsetDateTime::now_utc();
    store.assign(b.clone(), sandbox, now, now).await.unwrap();
    for id in [&a, &b] {
        store.finish(id.clone(), Err(problem())).await.unwrap();
    }
    assert!(store.retry(a).await.unwrap());
    assert!(!store.retry(b).await.unwrap());
}

#[tokio::test]
async fn a_job_that_is_tried_again_was_not_asked_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let a = JobId::new("a").unwrap();
    store.admit(job("a")).await.unwrap();
    store.request_cancel(a.clone()).await.unwrap();
    store.finish(a.clone(), Err(problem())).await.unwrap();
    assert!(store.retry(a.clone()).await.unwrap());
    // Or the next life of the node would cancel what its caller has sent again.
    assert!(!store.job(a).await.unwrap().unwrap().cancel_requested);
}

#[tokio::test]
async fn a_session_that_has_ended_stays_as_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let active = session(SessionState::Active);
    let ended = session(SessionState::Ended);
    store.save_session(active.clone()).await.unwrap();
    store.save_session(ended.clone()).await.unwrap();
    // Its creation, or a renewal, that was overtaken by its end.
    store.save_session(active).await.unwrap();
    let id = ended.session_id.clone();
    assert_eq!(store.session(id).await.unwrap(), Some(ended));
    assert_eq!(store.active_sessions().await.unwrap(), []);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for n in 0..25 {
        store.admit(job(&format!("job-{n}"))).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.jobs(JobFilter::default(), after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Page::after(last));
        seen.extend(page.into_iter().map(|row| row.job_id));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[test]
fn a_file_that_is_no_database_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pinfold.db"), "not a database, really not").unwrap();
    let error = Store::open(folder.path()).err().expect("refused");
    assert!(error.to_string().contains("can't be opened"), "{error}");
}

/// The child half of the next test: admits jobs, names each on stdout once it is acknowledged, and
/// goes on until it is killed. Does nothing unless that test started it.
#[tokio::test]
async fn acknowledge_until_killed() {
    let Ok(folder) = std::env::var("STORE_TEST_FOLDER") else {
        return;
    };
    let store = Store::open(folder.as_ref()).unwrap();
    for n in 0.. {
        store.admit(job(&format!("job-{n}"))).await.unwrap();
        eprintln!("acknowledged job-{n}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    use std::io::BufRead;
    let folder = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["acknowledge_until_killed", "--exact", "--nocapture"])
        .env("STORE_TEST_FOLDER", folder.path())
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 200 {
        let line = lines.next().unwrap().unwrap();
        acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
    }
    child.kill().unwrap();
    acknowledged.extend(
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned)),
    );
    child.wait().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for id in acknowledged {
        let id = JobId::new(id).unwrap();
        assert!(store.job(id.clone()).await.unwrap().is_some(), "{id}");
    }
}
