//! From one life of the node to the next.

use crate::world::{World, job, result, session};
use contracts::{
    JobId, SessionId,
    job::{JobState, Status},
    session::SessionState,
};
use executor::fake::{FakeEngine, FakeFaults, Program};
use std::time::Duration;

/// One that leaves the session `s` open and the job `a` running.
async fn ends_a_life(world: &World) {
    let node = world.node().await;
    node.create_session(session("s")).await.unwrap();
    node.submit(job("a", &["x"])).await.unwrap();
    let id = JobId::new("a").unwrap();
    while node.job(&id).await.unwrap().state != JobState::Running {
        tokio::task::yield_now().await;
    }
    node.drain(Duration::ZERO).await;
}

/// What runs ends well although the engine fails in this way when the next life begins.
async fn survives(fault: fn(&mut FakeFaults)) {
    let world = World::new(FakeEngine::new(|_| Program::runs_for(Duration::from_millis(500))));
    ends_a_life(&world).await;
    world.engine.inject(fault);
    let node = world.node().await;
    assert_eq!(result(node.run(job("a", &["x"])).await).outcome.status, Status::Completed);
    let told = node.session(&SessionId::new("s").unwrap()).await.unwrap();
    assert_eq!(told.state, SessionState::Active);
    assert_eq!(world.engine.created(), 2);
    node.stop_all().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_knows_no_image_for_a_moment_ends_nothing_that_runs() {
    survives(|faults| faults.failing_pins = 2).await;
}

#[tokio::test]
async fn an_engine_that_fails_at_an_adoption_is_asked_again() {
    survives(|faults| faults.failing_adoptions = 2).await;
}

/// Sets what an earlier life has written down forward by some years: its clock was wrong.
fn years_ahead(world: &World, sql: &str) {
    let db = rusqlite::Connection::open(world.config.state_dir.join("pinfold.db")).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1, "{sql}");
}

#[tokio::test]
async fn a_clock_that_was_set_back_in_between_gives_nobody_more_time_than_there_is() {
    let mut world = World::new(FakeEngine::new(|_| Program::runs_for(Duration::from_secs(600))));
    world.config.max_timeout = Duration::from_secs(2);
    world.config.session_lifetime = Duration::from_secs(2);
    ends_a_life(&world).await;
    years_ahead(&world, "UPDATE job SET deadline_at = deadline_at + 100000000000000");
    let year = "json_set(view, '$.expires_at', replace(view ->> '$.expires_at', '20', '21'))";
    years_ahead(&world, &format!("UPDATE session SET view = {year}"));
    let node = world.node().await;
    let ended = tokio::time::timeout(Duration::from_secs(10), node.run(job("a", &["x"]))).await;
    assert_eq!(result(ended.expect("in time")).outcome.status, Status::Timeout);
    world.until(|| world.engine.living().is_empty()).await;
    let told = node.session(&SessionId::new("s").unwrap()).await.unwrap();
    assert_eq!(told.state, SessionState::Ended);
}
