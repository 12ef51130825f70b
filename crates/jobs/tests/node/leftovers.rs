//! What programs leave behind: told once each, and never in the way of the result.

use crate::world::{World, job, result};
use contracts::{
    JobId,
    job::{JobResult, JobState, Status},
    link::Root,
};
use executor::fake::{FakeEngine, Program};
use jobs::{JobError, Node};
use std::time::Duration;
use store::Kept;

fn leaving(files: &[(Root, &str, &str)]) -> FakeEngine {
    let leaves = |(root, path, text): &(Root, &str, &str)| {
        (*root, (*path).to_owned(), text.as_bytes().to_vec())
    };
    let leaves: Vec<_> = files.iter().map(leaves).collect();
    FakeEngine::new(move |_| Program { leaves: leaves.clone(), ..Program::prints("done") })
}

async fn run(node: &Node) -> JobResult {
    let mut request = job("a", &["x"]);
    request.sandbox.artifacts = vec!["**".to_owned()];
    result(node.run(request).await)
}

fn names(result: &JobResult) -> Vec<&str> {
    result.artifacts.iter().map(|artifact| artifact.path.as_str()).collect()
}

#[tokio::test]
async fn of_two_files_of_one_name_the_one_among_the_artifacts_is_told() {
    let world = World::new(leaving(&[
        (Root::Job, "artifacts/same", "same"),
        (Root::Job, "artifacts/other", "handed over"),
        (Root::Workspace, "same", "same"),
    ]));
    let node = world.node().await;
    let told = run(&node).await;
    assert_eq!((names(&told), told.artifacts_truncated), (vec!["other", "same"], false));

    let world = World::new(leaving(&[
        (Root::Job, "artifacts/a", "handed over"),
        (Root::Workspace, "a", "on the way"),
    ]));
    let node = world.node().await;
    let told = run(&node).await;
    assert_eq!((names(&told), told.artifacts_truncated), (vec!["a"], true));
    let id = JobId::new("a").unwrap();
    assert_eq!(node.artifact(&id, "a").await.unwrap(), b"handed over");
}

#[tokio::test]
async fn a_disk_that_fills_up_while_artifacts_are_written_costs_them_and_not_the_result() {
    let world = World::new(leaving(&[(Root::Job, "artifacts/a", "a")]));
    let folder = world.config.state_dir.join("artifacts");
    std::fs::create_dir(&folder).unwrap();
    let node = world.node().await;
    std::os::unix::fs::symlink("/dev/full", folder.join("a.part")).unwrap();
    let told = run(&node).await;
    assert_eq!((told.outcome.status, &*told.outcome.stdout), (Status::Completed, "done"));
    assert_eq!((names(&told), told.artifacts_truncated), (vec![], true));
}

#[tokio::test]
async fn the_oldest_results_make_room_with_all_that_they_left() {
    let mut world = World::new(leaving(&[(Root::Job, "artifacts/a", "a")]));
    world.config.retention_most = Kept { count: 2, bytes: 1 << 20 };
    world.config.sweep_every = Duration::from_millis(20);
    let node = world.node().await;
    for id in ["a", "b", "c"] {
        result(node.run(job(id, &["x"])).await);
    }
    let folder = world.config.state_dir.join("artifacts");
    let left = || std::fs::read_dir(&folder).unwrap().count();
    world.until(|| left() == 2).await;
    let gone = JobId::new("a").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(node.job(&gone).await, Err(JobError::NotFound(_))));
    for id in ["b", "c"] {
        node.artifact(&JobId::new(id).unwrap(), "a").await.unwrap();
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_keeps_nothing_from_being_forgotten() {
    let mut world = World::new(leaving(&[]));
    world.config.retention = Duration::from_millis(1);
    world.config.sweep_every = Duration::from_millis(20);
    let node = world.node().await;
    result(node.run(job("a", &["x"])).await);
    world.engine.inject(|faults| faults.unreachable = true);
    let id = JobId::new("a").unwrap();
    let gone = async { while node.job(&id).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("it goes");
}

#[tokio::test]
async fn a_retention_for_ever_is_one() {
    let mut world = World::new(leaving(&[]));
    world.config.retention = Duration::MAX;
    world.config.retention_most = Kept { count: 1, bytes: 1 << 20 };
    world.config.sweep_every = Duration::from_millis(20);
    let node = world.node().await;
    for id in ["a", "b"] {
        result(node.run(job(id, &["x"])).await);
    }
    let id = JobId::new("a").unwrap();
    let gone = async { while node.job(&id).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the rounds go on");
}

/// Nothing that ends can be written down until the answer is dropped.
fn full_store(world: &World) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(world.config.state_dir.join("pinfold.db")).unwrap();
    db.execute_batch(
        "CREATE TRIGGER full BEFORE UPDATE OF result ON job WHEN NEW.state = 'ended'
         BEGIN SELECT RAISE(ABORT, 'scripted'); END",
    )
    .unwrap();
    db
}

#[tokio::test]
async fn an_end_that_can_not_be_kept_is_told_as_soon_as_it_can() {
    let world = World::new(leaving(&[]));
    let node = world.node().await;
    let db = full_store(&world);
    node.submit(job("a", &["x"])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let id = JobId::new("a").unwrap();
    assert_eq!(node.job(&id).await.unwrap().state, JobState::Running);
    db.execute_batch("DROP TRIGGER full").unwrap();
    let told = result(node.run(job("a", &["x"])).await);
    assert_eq!((told.outcome.status, &*told.outcome.stdout), (Status::Completed, "done"));
    world.until(|| world.engine.living().is_empty()).await;
    assert_eq!(world.engine.created(), 1);
}

#[tokio::test]
async fn an_end_that_can_not_be_kept_is_found_by_the_next_life() {
    let world = World::new(leaving(&[]));
    let node = world.node().await;
    let db = full_store(&world);
    node.submit(job("a", &["x"])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    node.drain(Duration::ZERO).await;
    drop(node);
    db.execute_batch("DROP TRIGGER full").unwrap();
    let told = result(world.node().await.run(job("a", &["x"])).await);
    assert_eq!((told.outcome.status, &*told.outcome.stdout), (Status::Completed, "done"));
    assert_eq!(world.engine.created(), 1);
}
