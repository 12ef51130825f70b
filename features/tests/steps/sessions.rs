//! Sessions.

use crate::world::{BASE, World};
use cucumber::{given, then, when};
use serde_json::{Value, json};

async fn create(world: &mut World, more: Value) {
    let session_id = format!("{}-s", world.task_id);
    let mut request = json!({
        "version": 1, "task_id": world.task_id, "session_id": session_id, "sandbox": {"image": BASE},
    });
    request
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().cloned().unwrap_or_default());
    let answer = world.node().caller.post("/v1/worker/sessions", request.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[given("a session")]
async fn a_session(world: &mut World) {
    create(world, json!({})).await;
}

#[given(expr = "a session that may idle {int} second")]
async fn idling(world: &mut World, seconds: u64) {
    create(world, json!({"idle_seconds": seconds})).await;
}

#[given(expr = "a session that may live {int} second")]
async fn ageing(world: &mut World, seconds: u64) {
    create(world, json!({"lifetime_seconds": seconds})).await;
}

async fn exec(world: &mut World, script: &str, timeout: Option<u64>) {
    let mut request = json!({"version": 1, "command": ["sh", "-c", script]});
    if let Some(seconds) = timeout {
        request["timeout_seconds"] = json!(seconds);
    }
    let path = format!("/v1/worker/sessions/{}-s/exec", world.task_id);
    let answer = world.node().caller.post(&path, request.to_string()).await;
    world.answers.push(answer);
}

#[when(expr = "it runs {string}")]
async fn runs(world: &mut World, script: String) {
    exec(world, &script, None).await;
}

#[when(expr = "it runs {string} for at most {int} second")]
async fn runs_limited(world: &mut World, script: String, seconds: u64) {
    exec(world, &script, Some(seconds)).await;
    assert_eq!(world.last().json()["status"], "timeout", "{}", world.last().text());
}

#[then(expr = "the command's output is {string}")]
fn output(world: &mut World, text: String) {
    assert_eq!(world.last().json()["stdout"], format!("{text}\n"), "{}", world.last().text());
}

#[when("it is ended")]
async fn ended(world: &mut World) {
    let path = format!("/v1/worker/sessions/{}-s/end", world.task_id);
    let answer = world.node().caller.post(&path, "").await;
    assert_eq!(answer.json()["state"], "ended", "{}", answer.text());
}

#[then(expr = "it ends as {string}")]
async fn ends_as(world: &mut World, why: String) {
    let path = format!("/v1/worker/sessions/{}-s", world.task_id);
    World::until("the session ends", || async {
        world.node().caller.get(&path).await.json()["ended"] == why.as_str()
    })
    .await;
}
