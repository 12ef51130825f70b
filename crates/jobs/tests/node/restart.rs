//! From one life of the node to the next.

use crate::world::{World, job, result, session};
use contracts::{
    JobId, SessionId,
    job::{JobState, Status},
    session::SessionState,
};
use executor::fake::{FakeEngine, FakeFaults, Program};
use std::time::Duration;

/// What runs ends well although the engine fails in this way when the next life begins.
async fn survives(fault: fn(&mut FakeFaults)) {
    let world = World::new(FakeEngine::new(|_| Program::runs_for(Duration::from_millis(500))));
    let node = world.node().await;
    node.create_session(session("s")).await.unwrap();
    node.submit(job("a", &["x"])).await.unwrap();
    let id = JobId::new("a").unwrap();
    while node.job(&id).await.unwrap().state != JobState::Running {
        tokio::task::yield_now().await;
    }
    node.drain(Duration::ZERO).await;
    drop(node);
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
