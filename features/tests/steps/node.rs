//! The node itself: started, asked, killed.

use super::watch::ended_by_id;
use crate::{
    http::{Answer, Caller},
    world::{World, podman},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::time::Duration;

#[given("a node")]
async fn a_node(world: &mut World) {
    world.start().await;
}

#[given(expr = "the node may run {int} job and queue {int}")]
async fn places(world: &mut World, running: usize, queued: usize) {
    if let Some(node) = world.node.take() {
        node.stop().await;
    }
    world.settings.push(("MAX_RUNNING".to_owned(), running.to_string()));
    world.settings.push(("MAX_QUEUED".to_owned(), queued.to_string()));
    world.start().await;
}

#[when(expr = "anybody asks for {string} without a token")]
async fn asks_without_token(world: &mut World, path: String) {
    let caller = Caller { token: None, ..world.node().caller.clone() };
    world.answers.push(caller.get(&path).await);
}

#[when(expr = "anybody asks for {string} with the token {string}")]
async fn asks_with_token(world: &mut World, path: String, token: String) {
    let caller = Caller { token: Some(token), ..world.node().caller.clone() };
    world.answers.push(caller.get(&path).await);
}

#[when(expr = "the dispatcher asks for {string}")]
async fn dispatcher_asks(world: &mut World, path: String) {
    let answer = world.node().caller.get(&path).await;
    world.answers.push(answer);
}

#[then(expr = "the answer is {int} with the text {string}")]
fn answer_is(world: &mut World, status: u16, text: String) {
    assert_eq!((world.last().status, world.last().text()), (status, text));
    assert!(world.last().kind.starts_with("text/plain"), "{}", world.last().kind);
}

#[then("it is refused as unauthenticated")]
fn unauthenticated(world: &mut World) {
    let problem = world.last().json();
    assert_eq!(world.last().status, 401);
    assert_eq!(problem["type"], "urn:cynodeai:error:authentication");
}

#[then(expr = "the answer contains {string}")]
fn contains(world: &mut World, text: String) {
    assert!(world.last().text().contains(&text), "{}", world.last().text());
}

#[then(expr = "the answer does not contain {string}")]
fn contains_not(world: &mut World, text: String) {
    assert!(!world.last().text().contains(&text), "{}", world.last().text());
}

#[then(expr = "the answer has {string}")]
fn has(world: &mut World, field: String) {
    let answer = world.last().json();
    assert_eq!((&answer["version"], answer[&field].is_null()), (&json!(1), false), "{answer}");
}

#[when("the node is killed and started again")]
async fn killed_and_started(world: &mut World) {
    world.node.take().expect("a node").kill().await;
    world.start().await;
}

#[when(expr = "the node is killed and started again once it has printed {string}")]
async fn killed_once_printed(world: &mut World, text: String) {
    super::watch::until_printed(world, &text).await;
    killed_and_started(world).await;
}

#[when(
    expr = "the node is killed once it has printed {string}, and started again {int} seconds later"
)]
async fn killed_for_a_while(world: &mut World, text: String, seconds: u64) {
    super::watch::until_printed(world, &text).await;
    world.node.take().expect("a node").kill().await;
    // The point is that the job ends meanwhile, with nobody there.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    world.start().await;
}

#[when("the node is killed, the sandbox too, and the node is started again")]
async fn killed_with_sandbox(world: &mut World) {
    super::watch::until_printed(world, "before").await;
    world.node.take().expect("a node").kill().await;
    for container in world.containers().await {
        podman(&["rm", "--force", "--time=0", &container]).await;
    }
    world.start().await;
}

#[given("a container with the node's label that nobody owns")]
async fn orphan(world: &mut World) {
    let job = world.script("sleep 60", json!({}));
    world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    let telemetry = "/v1/worker/telemetry/containers";
    let mut node_id = Value::Null;
    for _ in 0..200 {
        let containers = world.node().caller.get(telemetry).await.json();
        node_id = containers["containers"][0]["labels"]["io.pinfold.node"].clone();
        if node_id.is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let labels = [
        "io.pinfold.sandbox=0123456789abcdef0123456789abcdef".to_owned(),
        format!(
            "io.pinfold.node={}",
            node_id.as_str().expect("a running sandbox tells the node's id")
        ),
        format!("cynodeai.task_id={}-orphan", world.task_id),
    ];
    let mut arguments = vec!["create", "--network=none"];
    arguments.extend(["--name", "pinfold-0123456789abcdef0123456789abcdef"]);
    arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
    arguments.extend([crate::world::BASE, "sleep", "1000"]);
    podman(&arguments).await;
}

#[then("it is gone within a sweep")]
async fn swept(world: &mut World) {
    let label = format!("label=cynodeai.task_id={}-orphan", world.task_id);
    World::until("the orphan is removed", || async {
        podman(&["ps", "--all", "--quiet", "--filter", &label]).await.is_empty()
    })
    .await;
}

#[when(expr = "the node is killed {int} times at random while jobs run")]
async fn killed_at_random(world: &mut World, times: usize) {
    for round in 0..times {
        let mut posted = Vec::new();
        for _ in 0..3 {
            let job = world.script("echo $CYNODE_JOB_ID; sleep 0.2; echo end", json!({}));
            let id = world.job_id();
            let caller = world.node().caller.clone();
            posted.push(async move {
                let answer: Answer = caller.post("/v1/worker/jobs", job.to_string()).await;
                (answer.status == 202).then_some(id)
            });
        }
        let accepted = futures::future::join_all(posted).await;
        world.notes.extend(accepted.into_iter().flatten());
        // Anywhere from before the first container to after the last result.
        let mut random = [0; 1];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .expect("random");
        let moment = (round as u64 * 61 + u64::from(random[0]) * 3) % 700;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        killed_and_started(world).await;
    }
}

#[then("every accepted job ended once and truly")]
async fn all_ended(world: &mut World) {
    assert!(!world.notes.is_empty());
    for id in world.notes.clone() {
        let view = ended_by_id(world, &id).await;
        // A fault may be told where nothing ran; output is whole or not there, never made up.
        match view["result"]["status"].as_str() {
            Some(status) => {
                assert_eq!(status, "completed", "{view}");
                assert_eq!(view["result"]["stdout"], format!("{id}\nend\n"), "{view}");
            }
            None => assert!(view["problem"]["status"] == 500, "{view}"),
        }
    }
}

#[then("no sandbox is left")]
async fn none_left(world: &mut World) {
    World::until("no sandbox is left", || async { world.containers().await.is_empty() }).await;
    World::until("no folder is left", || async { world.folders() == 0 }).await;
}
