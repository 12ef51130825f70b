//! Jobs and sessions: who runs what, once, and what is told.

use crate::world::{World, job, result, session, sleeping};
use contracts::{
    ImageRef, JobId, SessionId, Version,
    code::{ExecuteRequest, OpenRequest},
    event::Position,
    job::{JobState, Reason, Status, StopStatus},
    link::{End, FileError, Root},
    session::{ExecRequest, RenewRequest, SessionEnd, SessionRequest, SessionState, SessionStatus},
};
use executor::{
    Counters,
    fake::{FakeEngine, Program, Spoiled},
};
use jobs::{Ended, JobError, JobEventKind};
use std::time::Duration;

#[tokio::test]
async fn a_job_is_run_and_its_sandbox_removed() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let result = result(node.run(job("a", &["echo", "hello"])).await);
    assert_eq!(result.outcome.stdout, "echo hello");
    assert_eq!((result.outcome.status, result.outcome.exit_code), (Status::Completed, Some(0)));
    world.until(|| world.engine.living().is_empty()).await;
}

#[tokio::test]
async fn the_same_request_three_times_at_once_runs_once() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let run = || node.run(job("a", &["echo"]));
    let (a, b, c) = tokio::join!(run(), run(), run());
    let (a, b, c) = (result(a), result(b), result(c));
    assert!(a == b && b == c);
    assert_eq!(result(node.run(job("a", &["echo"])).await), a, "and later too");
    assert_eq!(world.engine.created(), 1);
}

#[tokio::test]
async fn an_id_that_is_used_for_another_request_is_a_conflict() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    result(node.run(job("a", &["echo"])).await);
    assert!(matches!(node.run(job("a", &["other"])).await, Err(JobError::Conflict)));
}

#[tokio::test]
async fn who_stops_waiting_does_not_stop_the_job() {
    let world = World::new(FakeEngine::new(|_| Program::runs_for(Duration::from_millis(30))));
    let node = world.node().await;
    let hung_up = tokio::time::timeout(Duration::from_millis(5), node.run(job("a", &["x"]))).await;
    assert!(hung_up.is_err());
    assert_eq!(result(node.run(job("a", &["x"])).await).outcome.status, Status::Completed);
    assert_eq!(world.engine.created(), 1);
}

#[tokio::test]
async fn a_full_node_turns_the_next_job_away() {
    let world = World::new(sleeping());
    let node = world.node().await;
    for id in ["a", "b", "c", "d"] {
        node.submit(job(id, &["sleep"])).await.unwrap();
    }
    let turned_away = node.submit(job("e", &["sleep"])).await;
    assert!(matches!(turned_away, Err(JobError::Full { .. })), "{turned_away:?}");
    node.stop_all().await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_a_program_that_ignores_term_too() {
    for program in ["sleep", "stubborn"] {
        let mut world = World::new(sleeping());
        world.config.max_timeout = Duration::from_millis(50);
        let node = world.node().await;
        let outcome = result(node.run(job("a", &[program])).await).outcome;
        assert_eq!((outcome.status, outcome.reason), (Status::Timeout, Reason::Deadline));
        assert_eq!(outcome.exit_code, None);
    }
}

#[tokio::test]
async fn a_queued_job_can_be_canceled_before_it_ever_runs() {
    let mut world = World::new(sleeping());
    world.config.max_running = 1;
    let node = world.node().await;
    node.submit(job("a", &["sleep"])).await.unwrap();
    world.until(|| world.engine.created() == 1).await;
    node.submit(job("b", &["sleep"])).await.unwrap();
    let b = JobId::new("b").unwrap();
    assert_eq!(node.cancel(&b).await.unwrap().status, StopStatus::Stopping);
    assert_eq!(result(node.run(job("b", &["sleep"])).await).outcome.status, Status::Canceled);
    assert_eq!(world.engine.created(), 1);
    assert_eq!(node.cancel(&b).await.unwrap().status, StopStatus::NotRunning);
    node.stop_all().await.unwrap();
}

#[tokio::test]
async fn a_job_that_is_canceled_while_its_sandbox_is_made_never_runs() {
    let world = World::new(FakeEngine::new(|_| panic!("it was started")));
    let node = world.node().await;
    world.engine.inject(|faults| faults.slow_creation = Duration::from_millis(200));
    node.submit(job("a", &["x"])).await.unwrap();
    world.until(|| world.engine.created() == 1).await;
    node.cancel(&JobId::new("a").unwrap()).await.unwrap();
    // A node that leaves now leaves nothing of it.
    node.drain(Duration::ZERO).await;
    assert_eq!(world.engine.living(), []);
    let told = node.job(&JobId::new("a").unwrap()).await.unwrap();
    assert_eq!(told.result.unwrap().outcome.status, Status::Canceled);
}

#[tokio::test]
async fn a_program_that_reads_nothing_is_ended_in_time_all_the_same() {
    let world = World::new(sleeping());
    let node = world.node().await;
    let mut request = job("a", &["sleep"]);
    request.sandbox.stdin = Some("x".repeat(3 << 20));
    request.sandbox.timeout_seconds = Some(1);
    let ended = tokio::time::timeout(Duration::from_secs(10), node.run(request)).await;
    assert_eq!(result(ended.expect("in time")).outcome.status, Status::Timeout);
    node.create_session(session("s")).await.unwrap();
    let deaf = ExecRequest {
        version: Version,
        command: vec!["sleep".to_owned()],
        env: Default::default(),
        stdin: Some("x".repeat(3 << 20)),
        timeout_seconds: Some(1),
    };
    let id = SessionId::new("s").unwrap();
    let ended = node.exec(&id, deaf);
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await.expect("in time");
    assert_eq!(ended.unwrap().outcome.status, Status::Timeout);
}

#[tokio::test]
async fn who_feeds_a_job_that_never_runs_is_told_so() {
    let world = World::new(sleeping());
    let node = world.node().await;
    for id in ["a", "b"] {
        node.submit(job(id, &["sleep"])).await.unwrap();
    }
    let mut request = job("c", &["cat"]);
    request.sandbox.stdin_open = true;
    node.submit(request).await.unwrap();
    let id = JobId::new("c").unwrap();
    let feeding = async { while node.stdin(&id, vec![b'x'; 10], false).await.is_ok() {} };
    let canceling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        node.cancel(&id).await.unwrap();
    };
    let both = async { tokio::join!(feeding, canceling) };
    tokio::time::timeout(Duration::from_secs(5), both).await.expect("nobody waits for ever");
}

#[tokio::test]
async fn memory_kills_are_told_apart_from_other_kills() {
    let killed = Program { end: End::Signal(9), ..Program::prints("") };
    let world = World::new(FakeEngine::new(move |_| killed.clone()));
    let node = world.node().await;
    assert_eq!(result(node.run(job("a", &["x"])).await).outcome.reason, Reason::Signal);
    world.engine.count(Counters { oom_kills: 1, ..Counters::default() });
    assert_eq!(result(node.run(job("b", &["x"])).await).outcome.reason, Reason::Oom);
}

#[tokio::test]
async fn a_sandbox_that_vanishes_is_our_fault_and_no_exit_code() {
    let world = World::new(sleeping());
    let node = world.node().await;
    node.submit(job("a", &["sleep"])).await.unwrap();
    world.until(|| !world.engine.living().is_empty()).await;
    let id = JobId::new("a").unwrap();
    while node.job(&id).await.unwrap().state != JobState::Running {
        tokio::task::yield_now().await;
    }
    world.engine.vanish(&world.engine.living()[0]);
    match node.run(job("a", &["sleep"])).await {
        Ok(Ended::Problem(problem)) => assert_eq!(problem.status, 500),
        other => panic!("expected a problem, got {other:?}"),
    }
}

#[tokio::test]
async fn a_failed_creation_is_our_fault_and_may_be_tried_again() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    world.engine.inject(|faults| faults.failing_creations = 1);
    let ended = node.run(job("a", &["echo"])).await.unwrap();
    assert!(matches!(&ended, Ended::Problem(p) if p.phase.as_deref() == Some("create")));
    assert_eq!(result(node.run(job("a", &["echo"])).await).outcome.status, Status::Completed);
}

#[tokio::test]
async fn callers_mistakes_are_never_kept() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    world.engine.inject(|faults| faults.missing_images = vec!["nope".to_owned()]);
    let mut missing = job("a", &["x"]);
    missing.sandbox.image = Some(ImageRef::new("nope").unwrap());
    assert_eq!(node.run(missing).await.unwrap_err().problem().status, 422);
    let mut thinking = job("a", &["x"]);
    thinking.sandbox.use_inference = true;
    assert_eq!(node.run(thinking).await.unwrap_err().problem().status, 422);
    assert_eq!(node.run(job("b", &[])).await.unwrap_err().problem().status, 400);
    assert!(matches!(node.job(&JobId::new("a").unwrap()).await, Err(JobError::NotFound(_))));
}

#[tokio::test]
async fn the_next_life_of_a_node_adopts_what_runs_and_tells_its_true_end() {
    let program =
        Program { stdout: b"true words".to_vec(), ..Program::runs_for(Duration::from_millis(300)) };
    let world = World::new(FakeEngine::new(move |_| program.clone()));
    let first = world.node().await;
    first.submit(job("a", &["x"])).await.unwrap();
    let id = JobId::new("a").unwrap();
    while first.job(&id).await.unwrap().state != JobState::Running {
        tokio::task::yield_now().await;
    }
    world.until(|| world.engine.living().len() == 1).await;
    first.drain(Duration::ZERO).await;
    let second = world.node().await;
    let result = result(second.run(job("a", &["x"])).await);
    assert_eq!(result.outcome.stdout, "true words");
    assert_eq!(world.engine.created(), 1);
}

#[tokio::test]
async fn a_sandbox_that_died_with_the_node_is_told_as_lost() {
    let world = World::new(sleeping());
    let first = world.node().await;
    first.submit(job("a", &["sleep"])).await.unwrap();
    let id = JobId::new("a").unwrap();
    while first.job(&id).await.unwrap().state != JobState::Running {
        tokio::task::yield_now().await;
    }
    first.drain(Duration::ZERO).await;
    world.engine.vanish(&world.engine.living()[0]);
    let second = world.node().await;
    let problem = second.job(&id).await.unwrap().problem.expect("a problem");
    assert_eq!(problem.phase.as_deref(), Some("restart"));
}

#[tokio::test]
async fn artifacts_and_the_result_file_come_back() {
    let program = Program {
        leaves: vec![
            (Root::Job, "artifacts/plot.png".to_owned(), b"png".to_vec()),
            (Root::Job, "result.json".to_owned(), b"{\"status\":\"success\"}".to_vec()),
        ],
        ..Program::prints("")
    };
    let world = World::new(FakeEngine::new(move |_| program.clone()));
    let node = world.node().await;
    let mut request = job("a", &["x"]);
    request.sandbox.job_spec_json = Some("{}".to_owned());
    let result = result(node.run(request).await);
    assert_eq!(result.sba_result.unwrap()["status"], "success");
    assert_eq!(result.artifacts[0].path, "plot.png");
    let id = JobId::new("a").unwrap();
    assert_eq!(node.artifact(&id, "plot.png").await.unwrap(), b"png");
    assert!(matches!(node.artifact(&id, "x").await, Err(JobError::NotFound(_))));
}

#[tokio::test]
async fn a_program_that_spoils_its_folders_is_not_the_nodes_fault() {
    let spoils = |spoiled: Spoiled| {
        World::new(FakeEngine::new(move |_| Program {
            leaves: vec![(Root::Job, "artifacts/a".to_owned(), b"a".to_vec())],
            spoils: Some(spoiled.clone()),
            ..Program::prints("done")
        }))
    };
    let mut request = job("a", &["x"]);
    request.sandbox.job_spec_json = Some("{}".to_owned());
    request.sandbox.artifacts = vec!["*".to_owned()];
    // A link in the place of a folder, and one that can't be read.
    for error in [FileError::Path, FileError::Other { errno: 13 }] {
        let world = spoils(Spoiled::With(error.clone()));
        let told = result(world.node().await.run(request.clone()).await);
        assert_eq!((told.outcome.status, told.outcome.exit_code), (Status::Completed, Some(0)));
        assert!(told.artifacts.is_empty() && told.artifacts_truncated, "{error:?}");
        assert_eq!(told.sba_result, None);
    }
    // So full that there is no memory left to look through it.
    let world = spoils(Spoiled::Deadly);
    world.engine.count(Counters { oom_kills: 1, ..Counters::default() });
    let told = result(world.node().await.run(request.clone()).await);
    assert_eq!((told.outcome.status, told.outcome.reason), (Status::Failed, Reason::Oom));
    let world = spoils(Spoiled::Deadly);
    let told = world.node().await.run(request).await;
    assert!(matches!(told, Ok(Ended::Problem(_))), "silence that nobody can explain is");
}

#[tokio::test]
async fn artifacts_that_were_half_written_do_not_stay() {
    let world = World::new(FakeEngine::new(|_| Program {
        leaves: vec![(Root::Job, "artifacts/a".to_owned(), b"a".to_vec())],
        ..Program::prints("")
    }));
    let folder = world.config.state_dir.join("artifacts");
    std::fs::create_dir_all(folder.join("stuck.tar")).unwrap();
    std::fs::write(folder.join("before.part"), "a").unwrap();
    let node = world.node().await;
    // What is in its place can't be replaced.
    assert!(matches!(node.run(job("stuck", &["x"])).await, Ok(Ended::Problem(_))));
    result(node.run(job("fine", &["x"])).await);
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["fine.tar", "stuck.tar"]);
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_takes_nothing_more() {
    let mut world = World::new(FakeEngine::echoing());
    result(world.node().await.run(job("before", &["echo"])).await);
    world.config.min_free_bytes = u64::MAX;
    let node = world.node().await;
    let is_full = |error| matches!(error, JobError::DiskFull { .. });
    assert!(is_full(node.run(job("a", &["echo"])).await.unwrap_err()));
    assert!(is_full(node.upload(vec![0; 1024]).await.unwrap_err()));
    assert!(is_full(node.ready().await.unwrap_err()));
    // What was taken in is told all the same.
    result(node.run(job("before", &["echo"])).await);
}

#[tokio::test]
async fn events_can_be_taken_up_where_they_were_left() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    result(node.run(job("a", &["hello", "world"])).await);
    let after = Position { stdout: 6, stderr: 0 };
    let mut events = node.events(&JobId::new("a").unwrap(), after).await.unwrap();
    let (mut text, mut ended) = (String::new(), false);
    while let Some(event) = events.recv().await {
        match event.kind {
            JobEventKind::Stdout(chunk) => text += &chunk.text.unwrap(),
            JobEventKind::End(view) => ended = view.result.is_some(),
            _ => {}
        }
    }
    assert_eq!((text.as_str(), ended), ("world", true));
}

#[tokio::test]
async fn a_session_runs_commands_until_it_is_ended_and_is_gone_after() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let view = node.create_session(session("s")).await.unwrap();
    assert_eq!(node.create_session(session("s")).await.unwrap(), view, "the same one again");
    let exec = |word: &str| {
        let command = vec![word.to_owned()];
        let request = ExecRequest {
            version: Version,
            command,
            env: Default::default(),
            stdin: None,
            timeout_seconds: None,
        };
        let node = node.clone();
        async move { node.exec(&SessionId::new("s").unwrap(), request).await }
    };
    let (one, two) = tokio::join!(exec("one"), exec("two"));
    assert_eq!(
        (one.unwrap().outcome.stdout.as_str(), two.unwrap().outcome.stdout.as_str()),
        ("one", "two")
    );
    let ended = node.end_session(&SessionId::new("s").unwrap()).await.unwrap();
    assert_eq!((ended.state, ended.ended), (SessionState::Ended, Some(SessionEnd::Requested)));
    assert!(matches!(exec("three").await, Err(JobError::Gone(_))));
    world.until(|| world.engine.living().is_empty()).await;
}

#[tokio::test]
async fn who_hangs_up_while_a_sandbox_is_made_leaves_none_that_is_nobodys() {
    let mut world = World::new(FakeEngine::echoing());
    world.config.sweep_every = Duration::from_millis(20);
    let node = world.node().await;
    let slow = || world.engine.inject(|faults| faults.slow_creation = Duration::from_millis(60));
    let soon = Duration::from_millis(20);
    slow();
    assert!(tokio::time::timeout(soon, node.create_session(session("s"))).await.is_err());
    slow();
    assert!(tokio::time::timeout(soon, node.open_code(OpenRequest::default())).await.is_err());
    slow();
    let code = ExecuteRequest { code: "1".to_owned(), ..Default::default() };
    assert!(tokio::time::timeout(soon, node.execute_once(code)).await.is_err());
    // Who asks again finds the session; its end and that of the other leave nothing.
    node.create_session(session("s")).await.unwrap();
    world.until(|| node.code_sessions().sessions.len() == 2).await;
    node.stop_all().await.unwrap();
    world.until(|| world.engine.living().is_empty()).await;
}

#[tokio::test]
async fn no_more_callers_wait_to_run_code_than_jobs_may() {
    let mut world = World::new(FakeEngine::echoing());
    (world.config.max_running, world.config.max_queued) = (1, 2);
    let node = world.node().await;
    let code = || ExecuteRequest { code: "1".to_owned(), ..Default::default() };
    world.engine.inject(|faults| faults.slow_creation = Duration::from_millis(300));
    let (_runs, _first, _second, third) = tokio::join!(
        node.execute_once(code()),
        node.execute_once(code()),
        node.execute_once(code()),
        node.execute_once(code()),
    );
    assert!(matches!(third, Err(JobError::Full { .. })));
    node.stop_all().await.unwrap();
    world.until(|| world.engine.living().is_empty()).await;
}

#[tokio::test]
async fn an_idle_session_ends_by_itself() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let request = SessionRequest { idle_seconds: Some(1), ..session("s") };
    node.create_session(request).await.unwrap();
    world.until(|| world.engine.living().is_empty()).await;
    let view = node.session(&SessionId::new("s").unwrap()).await.unwrap();
    assert_eq!(view.ended, Some(SessionEnd::Idle));
}

#[tokio::test]
async fn a_renewal_holds_in_the_next_life_and_stays_within_what_the_node_allows() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let request = SessionRequest { lifetime_seconds: Some(10), ..session("s") };
    let created = node.create_session(request).await.unwrap();
    let id = SessionId::new("s").unwrap();
    let renew = RenewRequest { lifetime_seconds: Some(30), idle_seconds: Some(u64::MAX) };
    let renewed = node.renew_session(&id, renew).await.unwrap();
    assert!(renewed.expires_at > created.expires_at + Duration::from_secs(15));
    assert_eq!(renewed.idle_seconds, 60);
    let renew = RenewRequest { lifetime_seconds: Some(u64::MAX), idle_seconds: None };
    let longest = node.renew_session(&id, renew).await.unwrap();
    assert_eq!(longest.expires_at, created.created_at + Duration::from_secs(60));
    node.drain(Duration::ZERO).await;
    let second = world.node().await;
    assert_eq!(second.session_detail(&id).await.unwrap().expires_at, longest.expires_at);
}

#[tokio::test]
async fn a_session_whose_sandbox_vanishes_ends_as_lost() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    node.create_session(session("s")).await.unwrap();
    world.engine.vanish(&world.engine.living()[0]);
    let id = SessionId::new("s").unwrap();
    while node.session_detail(&id).await.unwrap().status != SessionStatus::Ended {
        tokio::task::yield_now().await;
    }
    let gone = node.renew_session(&id, RenewRequest::default()).await.unwrap_err().problem();
    assert_eq!((gone.status, gone.ended), (410, Some(SessionEnd::Lost)));
    assert!(gone.ended_at.is_some());
}

#[tokio::test]
async fn sessions_that_are_opened_at_once_are_no_more_than_may_be() {
    let world = World::new(FakeEngine::echoing());
    let node = world.node().await;
    let opened = (0..8).map(|n| {
        let node = node.clone();
        // Twice each: the second is the first.
        async move {
            let id = format!("s{n}");
            let both =
                tokio::join!(node.create_session(session(&id)), node.create_session(session(&id)));
            (both.0.is_ok(), both.1.is_ok())
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    opened.for_each(|one| drop(tasks.spawn(one)));
    let opened = tasks.join_all().await;
    assert_eq!(opened.iter().filter(|both| **both == (true, true)).count(), 4, "{opened:?}");
    assert_eq!(opened.iter().filter(|both| **both == (false, false)).count(), 4, "{opened:?}");
    assert_eq!(world.engine.created(), 4);
}
