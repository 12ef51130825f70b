//! Sandboxes that wait: how many, which, and whether a job got one of them.

use crate::world::{BASE, PYTHON, World, podman};
use cucumber::{given, then, when};
use serde_json::{Value, json};

#[given(expr = "a node that keeps {int} sandboxes waiting")]
async fn a_node_with_a_pool(world: &mut World, waiting: usize) {
    for setting in ["POOL_MAX", "POOL_MIN"] {
        world.settings.push((setting.to_owned(), waiting.to_string()));
    }
    world.start().await;
    until_ready(world, waiting).await;
    world.notes = waiting_now(world).await;
}

/// The same node, in its next life, with nothing but these shapes in its pool.
async fn start_with_shapes(world: &mut World, shapes: Value) {
    world.node.take().expect("a node").stop().await;
    world.settings.push(("POOL_MIN".to_owned(), "0".to_owned()));
    world.settings.push(("POOL_SHAPES".to_owned(), shapes.to_string()));
    world.start().await;
}

#[given("the node keeps sandboxes of an image without Python waiting")]
async fn keeps_image(world: &mut World) {
    let name = format!("localhost/{}:latest", world.task_id);
    podman(&["tag", BASE, &name]).await;
    world.tags.push(name.clone());
    start_with_shapes(world, json!([{"image": name, "min": 2}])).await;
    until_ready(world, 2).await;
    world.notes = waiting_now(world).await;
}

#[given(expr = "the node's sandboxes have the first command {string}")]
async fn first_command(world: &mut World, program: String) {
    start_with_shapes(world, json!([{"min": 2, "warm_up": [program]}])).await;
}

#[when("the image is replaced by one with Python")]
async fn image_replaced(world: &mut World) {
    podman(&["tag", PYTHON, &world.tags[0]]).await;
}

#[when(expr = "runs {string}")]
async fn runs_next(world: &mut World, script: String) {
    let job = world.script(&script, json!({}));
    world.run(job).await;
}

#[when("the waiting sandboxes are killed")]
async fn killed(world: &mut World) {
    for id in &world.notes {
        podman(&["kill", &format!("pinfold-{id}")]).await;
    }
}

fn warm(world: &World) -> Vec<bool> {
    let warm = |answer: &crate::http::Answer| {
        let result = answer.json();
        result["timings"]["warm"].as_bool().unwrap_or_else(|| panic!("{result}"))
    };
    world.answers.iter().map(warm).collect()
}

#[then("it was served from the pool")]
#[then("both were served from the pool")]
fn was_warm(world: &mut World) {
    assert!(warm(world).iter().all(|warm| *warm), "{:?}", warm(world));
}

#[then("it was not served from the pool")]
fn was_cold(world: &mut World) {
    assert_eq!(warm(world), [false]);
}

#[then("some were served from the pool and others were not")]
fn some_warm(world: &mut World) {
    let warm = warm(world);
    assert!(warm.contains(&true) && warm.contains(&false), "{warm:?}");
}

#[then(expr = "{int} sandboxes wait and no other is there")]
async fn wait_again(world: &mut World, count: usize) {
    until_ready(world, count).await;
    World::until("only those that wait are there", || async {
        let now = waiting_now(world).await;
        now.len() == count && world.folders() == count
    })
    .await;
}

#[then("as many of those that waited are gone as were used")]
async fn used_are_gone(world: &mut World) {
    let used = warm(world).iter().filter(|warm| **warm).count();
    let now = waiting_now(world).await;
    let gone = world.notes.iter().filter(|id| !now.contains(id)).count();
    assert_eq!(gone, used, "{:?} waited, now {now:?}", world.notes);
}

#[then("the waiting sandboxes are the same as before")]
async fn the_same(world: &mut World) {
    assert_eq!(waiting_now(world).await, world.notes);
}

#[then("the sandboxes that waited before are gone")]
async fn the_old_are_gone(world: &mut World) {
    World::until("those of before are gone", || async {
        let now = waiting_now(world).await;
        !world.notes.iter().any(|id| now.contains(id))
    })
    .await;
}

#[then("a job of that image runs Python, from the pool")]
async fn runs_python(world: &mut World) {
    until_ready(world, 2).await;
    let job =
        world.job(json!({"image": world.tags[0], "command": ["python3", "-c", "print(6 * 7)"]}));
    let result = world.run(job).await.json();
    assert_eq!((&result["stdout"], &result["timings"]["warm"]), (&json!("42\n"), &json!(true)));
}

#[then("the pool's page tells of a failure")]
async fn tells_failure(world: &mut World) {
    World::until("the pool tells of a failure", || async {
        let pool = world.node().caller.get("/v1/worker/pool").await.json();
        assert_eq!((&pool["ready"], &pool["shapes"][0]["made"]), (&json!(0), &json!(0)), "{pool}");
        pool["shapes"][0]["failures"].as_u64() > Some(0)
    })
    .await;
}

async fn until_ready(world: &World, count: usize) {
    World::until("the pool is full", || async {
        let pool = world.node().caller.get("/v1/worker/pool").await.json();
        let ready = |shape: &Value| (shape["retired"] == false).then(|| shape["ready"].as_u64());
        let shapes = pool["shapes"].as_array().expect("shapes");
        shapes.iter().filter_map(ready).flatten().sum::<u64>() == count as u64
    })
    .await;
}

/// The sandboxes that Podman has and no task owns.
pub(super) async fn waiting_now(world: &World) -> Vec<String> {
    let telemetry = world.node().caller.get("/v1/worker/telemetry/containers").await.json();
    let containers = telemetry["containers"].as_array().expect("containers").clone();
    let free = containers.iter().filter(|container| container["task_id"].is_null());
    let label =
        |container: &Value| container["labels"]["io.pinfold.sandbox"].as_str().map(str::to_owned);
    let mut ids: Vec<String> = free.filter_map(label).collect();
    ids.sort();
    ids
}
