//! Stop-all: what was taken in before its answer does not run after it, however far it was.

use crate::world::{World, job, session, sleeping};
use contracts::{
    SessionId, Version,
    code::ExecuteRequest,
    job::Status,
    session::{ExecRequest, SessionEnd, SessionState},
};
use executor::fake::{FakeEngine, Program};
use jobs::{CodeEnd, JobError, SessionEnded};
use std::time::Duration;

const WHILE: Duration = Duration::from_millis(200);

fn was_stopped<T: std::fmt::Debug>(answer: Result<T, JobError>) {
    let stopped = Err(SessionEnd::StopAll);
    let why = answer.map(drop).map_err(|error| match error {
        JobError::Gone(SessionEnded { why, .. }) => why,
        other => panic!("{other:?}"),
    });
    assert_eq!(why, stopped);
}

#[tokio::test]
async fn a_session_that_is_being_made_is_stopped_with_the_others() {
    let world = World::new(sleeping());
    let node = world.node().await;
    world.engine.inject(|faults| faults.slow_creation = WHILE);
    let stopping = async {
        world.until(|| world.engine.created() == 1).await;
        node.stop_all().await.unwrap()
    };
    let (made, _) = tokio::join!(node.create_session(session("s")), stopping);
    was_stopped(made);
    assert_eq!(node.sessions().await.unwrap().sessions, []);
    let told = node.session(&SessionId::new("s").unwrap()).await.unwrap();
    assert_eq!((told.state, told.ended), (SessionState::Ended, Some(SessionEnd::StopAll)));
    world.until(|| world.engine.living().is_empty()).await;
    node.create_session(session("later")).await.unwrap();
}

#[tokio::test]
async fn a_session_whose_image_is_looked_for_is_not_even_made() {
    let world = World::new(sleeping());
    let node = world.node().await;
    world.engine.inject(|faults| faults.slow_pin = WHILE);
    let stopping = async {
        tokio::time::sleep(WHILE / 4).await;
        node.stop_all().await.unwrap()
    };
    let (made, _) = tokio::join!(node.create_session(session("s")), stopping);
    was_stopped(made);
    assert_eq!(world.engine.created(), 0);
}

#[tokio::test]
async fn a_job_that_is_being_taken_in_is_canceled() {
    let world = World::new(FakeEngine::new(|_| panic!("it was started")));
    let node = world.node().await;
    world.engine.inject(|faults| faults.slow_pin = WHILE);
    let stopping = async {
        tokio::time::sleep(WHILE / 4).await;
        node.stop_all().await.unwrap()
    };
    let (ran, _) = tokio::join!(node.run(job("a", &["x"])), stopping);
    assert_eq!(crate::world::result(ran).outcome.status, Status::Canceled);
}

#[tokio::test]
async fn code_without_a_session_is_stopped_too() {
    let world = World::new(FakeEngine::new(|command| match command.argv[2].as_str() {
        "sleep" => Program::runs_for(Duration::from_secs(600)),
        _ => Program::prints("ran"),
    }));
    let node = world.node().await;
    let code = |code: &str| ExecuteRequest { code: code.to_owned(), ..Default::default() };
    let running = node.execute_once(code("sleep")).await.unwrap();
    node.stop_all().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(10), running.ended()).await;
    match ended.expect("it is stopped").unwrap() {
        CodeEnd::Answer(answer) => assert_eq!(answer.status, Some(Status::Canceled)),
        CodeEnd::Problem(problem) => panic!("{problem:?}"),
    }
    world.until(|| world.engine.living().is_empty()).await;
    let CodeEnd::Answer(answer) =
        node.execute_once(code("x")).await.unwrap().ended().await.unwrap()
    else {
        panic!("it has an answer")
    };
    assert_eq!(answer.stdout, "ran");
}

#[tokio::test]
async fn who_runs_something_in_a_session_that_another_ends_is_told_so() {
    let world = World::new(FakeEngine::new(|_| Program::runs_for(Duration::from_secs(600))));
    let node = world.node().await;
    node.create_session(session("s")).await.unwrap();
    let id = SessionId::new("s").unwrap();
    let command = ExecRequest {
        version: Version,
        command: vec!["sleep".to_owned()],
        env: Default::default(),
        stdin: None,
        timeout_seconds: None,
    };
    let code = ExecuteRequest { code: "sleep".to_owned(), ..Default::default() };
    let running = node.execute(&id, code).await.unwrap();
    let ending = async {
        tokio::time::sleep(WHILE).await;
        node.end_session(&id).await.unwrap()
    };
    let (ran, ended, _) = tokio::join!(node.exec(&id, command), running.ended(), ending);
    assert_eq!(ran.expect_err("it was ended").problem().status, 410);
    match ended.unwrap() {
        CodeEnd::Problem(problem) => assert_eq!(problem.status, 410, "{problem:?}"),
        CodeEnd::Answer(answer) => panic!("{answer:?}"),
    }
}
