//! Libraries of sessions: asked for when they are opened, and with code.

use super::{
    kernels::{execute, session},
    packages::node_and_registries,
};
use crate::world::World;
use cucumber::{given, then, when};
use serde_json::json;
use std::time::{Duration, Instant};

const IMAGE: &str = "localhost/pinfold/installers:latest";

pub(super) fn images(world: &mut World) {
    for name in ["SESSION_IMAGE_PYTHON", "SESSION_IMAGE_NODE"] {
        world.settings.push((name.to_owned(), IMAGE.to_owned()));
    }
}

#[given("a node whose sessions can install, and registries outside")]
async fn can_install(world: &mut World) {
    images(world);
    node_and_registries(world).await;
}

#[given(
    expr = "a node that keeps sandboxes for {word} sessions that install, and registries outside"
)]
async fn keeps_sandboxes(world: &mut World, lang: String) {
    images(world);
    let shapes =
        json!([{"image": IMAGE, "kernel": lang, "use_inference": true, "min": 2, "max": 2}]);
    world.settings.push(("POOL_SHAPES".to_owned(), shapes.to_string()));
    world.settings.push(("POOL_MAX".to_owned(), "8".to_owned()));
    node_and_registries(world).await;
    World::until("two sandboxes wait", || async {
        let ready = world.node().caller.get("/v1/worker/pool").await;
        ready.text().contains("\"ready\":2")
    })
    .await;
}

async fn open(world: &mut World, lang: &str, library: &str) {
    let began = Instant::now();
    let request = json!({"lang": lang, "libraries": [library]});
    let answer = world.node().caller.post("/sessions", request.to_string()).await;
    if let Some(id) = answer.json()["session_id"].as_str() {
        world.notes.push(id.to_owned());
    }
    world.answers.push(answer);
    world.took.push(began.elapsed());
}

#[when(
    regex = r#"^a (python|javascript) session is opened with the library "([^"]*)"(?: again)?$"#
)]
async fn opened(world: &mut World, lang: String, library: String) {
    open(world, &lang, &library).await;
}

#[when(regex = r#"^with the library "(.*)" it executes "(.*)"$"#)]
async fn with_library(world: &mut World, library: String, code: String) {
    execute(world, &code, json!({"libraries": [library]})).await;
}

#[when(regex = r#"^"(.*)" is executed with the library "(.*)" and without a session$"#)]
async fn once(world: &mut World, code: String, library: String) {
    let request = json!({"lang": "python", "code": code, "libraries": [library]}).to_string();
    let answer = world.node().caller.post("/execute", request).await;
    world.answers.push(answer);
}

#[when("it asks the gate for a page of packages")]
async fn asks_gate(world: &mut World) {
    let code = "import http.client\nc = http.client.HTTPConnection('127.0.0.1', 11434)\n\
                c.request('GET', '/packages/pypi/simple/cowsay/')\nprint(c.getresponse().status)";
    let request = json!({"code": code}).to_string();
    let path = format!("{}/execute", session(world));
    let answer = world.node().caller.post(&path, request).await;
    world.answers.push(answer);
}

#[then("it is open within a second")]
fn sooner(world: &mut World) {
    assert_eq!(world.last().status, 200, "{}", world.last().text());
    let took = *world.took.last().expect("it was timed");
    // On two processors with a load of eleven it was below a tenth of that.
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[then(expr = "the refusal tells {string}")]
fn refusal_tells(world: &mut World, words: String) {
    let detail = world.last().json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(&words), "{}", world.last().text());
}

#[then(expr = "the code failed with {int}, and {string} on its standard error")]
fn failed_with(world: &mut World, code: i64, words: String) {
    let answer = world.last().json();
    assert_eq!(answer["exit_code"], code, "{answer}");
    assert!(answer["stderr"].as_str().is_some_and(|said| said.contains(&words)), "{answer}");
}
