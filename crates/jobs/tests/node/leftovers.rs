//! What programs leave behind: told once each, and never in the way of the result.

use crate::world::{World, job, result};
use contracts::{
    JobId,
    job::{JobResult, Status},
    link::Root,
};
use executor::fake::{FakeEngine, Program};
use jobs::Node;

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
