//! Templates: put by an operator, and opened by whoever runs code.

use super::{libraries, packages::node_and_registries, pool::waiting_now};
use crate::{node::ADMIN_TOKEN, world::World};
use bytes::Bytes;
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// A session of a sandbox that waits takes some milliseconds; an install takes a second and more.
const SOON: Duration = Duration::from_millis(500);

/// An install takes many seconds on a busy machine.
const MOST_WAITS: usize = 600;

#[given("a node with an admin whose sessions can install, and registries outside")]
async fn can_install(world: &mut World) {
    libraries::images(world);
    for (name, value) in
        [("WORKER_API_ADMIN_TOKEN", ADMIN_TOKEN), ("POOL_MAX", "8"), ("POOL_MIN", "0")]
    {
        world.settings.push((name.to_owned(), value.to_owned()));
    }
    let file = world.folder.path().join("notes");
    std::fs::write(&file, "kept").expect("a file");
    let named = format!("{}:notes.txt", file.display());
    world.operator.names.push(("FILE:notes.txt".to_owned(), named));
    node_and_registries(world).await;
}

#[given(expr = "the template {string} with the library {string}, of which {int} wait")]
async fn put(world: &mut World, name: String, library: String, count: u64) {
    let line = format!("template put {name} --library {library} --min {count} --wait");
    super::providers::types(world, line).await;
    wait(world, name, count).await;
    world.waited = waiting_now(world).await;
}

#[when(expr = "again {int} of the template {string} wait")]
#[then(expr = "again {int} of the template {string} wait")]
async fn wait_again(world: &mut World, count: u64, name: String) {
    wait(world, name, count).await;
}

async fn wait(world: &mut World, name: String, count: u64) {
    for _ in 0..MOST_WAITS {
        if waits(world, &name).await == Some(count) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("of {name} there wait {:?} and not {count}", waits(world, &name).await);
}

async fn waits(world: &World, name: &str) -> Option<u64> {
    let pool = world.node().caller.get("/v1/worker/pool").await.json();
    let shapes = pool["shapes"].as_array().expect("shapes");
    let its = shapes.iter().find(|shape| shape["template"] == name && shape["retired"] == false);
    its.and_then(|shape| shape["ready"].as_u64())
}

async fn open(world: &mut World, request: Value) {
    let began = Instant::now();
    let answer = world.node().caller.post("/sessions", request.to_string()).await;
    world.took.push(began.elapsed());
    if let Some(id) = answer.json()["session_id"].as_str() {
        world.notes.push(id.to_owned());
    }
    world.answers.push(answer);
}

#[when(expr = "a session is opened from the template {string}")]
async fn opened(world: &mut World, name: String) {
    open(world, json!({"template": name})).await;
}

#[when(expr = "a python session is opened from the template {string}")]
async fn opened_in_python(world: &mut World, name: String) {
    open(world, json!({"template": name, "lang": "python"})).await;
}

#[when(expr = "{string} is executed once, from the template {string}")]
async fn once(world: &mut World, code: String, name: String) {
    let request = json!({"code": code, "template": name}).to_string();
    let answer = world.node().caller.post("/execute", request).await;
    world.answers.push(answer);
}

#[when(expr = "the dispatcher puts the template {string}")]
async fn dispatcher_puts(world: &mut World, name: String) {
    let path = format!("/v1/templates/{name}");
    let body = Bytes::from(json!({"version": 1}).to_string());
    let answer = world.node().caller.send("PUT", &path, body, &[]).await;
    world.answers.push(answer);
}

#[then("it is open as soon as any that waited, from the pool")]
async fn soon(world: &mut World) {
    assert_eq!(world.last().status, 200, "{}", world.last().text());
    let took = *world.took.last().expect("it was timed");
    assert!(took < SOON, "it took {took:?}");
    let pool = world.node().caller.get("/v1/worker/pool").await.json();
    let shape = &pool["shapes"][0];
    assert_eq!((&shape["claims"], &shape["misses"]), (&json!(1), &json!(0)), "{pool}");
}

#[then("the sandboxes of before are gone")]
async fn gone(world: &mut World) {
    let before: BTreeSet<String> = world.waited.iter().cloned().collect();
    assert!(!before.is_empty(), "some waited");
    World::until("those of before are gone", || async {
        !waiting_now(world).await.iter().any(|id| before.contains(id))
    })
    .await;
}

#[then("no sandbox of a template waits")]
async fn none_waits(world: &mut World) {
    World::until("no sandbox of a template waits", || async {
        waiting_now(world).await.is_empty()
    })
    .await;
}
