//! The pool: what is served from it, what is made when, and what is never served again.

use crate::world::{World, job, result};
use contracts::{
    ImageRef,
    job::JobRequest,
    limits::{Limits, LimitsRequest},
    link::End,
    pool::PoolShape,
    sandbox::NetworkPolicy,
};
use executor::fake::{FakeEngine, Program};
use jobs::{ConfiguredShape, Node, PoolConfig};
use std::time::Duration;

fn configured(min: usize, max: usize) -> ConfiguredShape {
    ConfiguredShape {
        image: ImageRef::new("base").unwrap(),
        limits: Limits::DEFAULT,
        network: NetworkPolicy::None,
        door: false,
        min,
        max,
        kernel: None,
        warm_up: Vec::new(),
    }
}

fn pool(max: usize, shapes: Vec<ConfiguredShape>) -> PoolConfig {
    PoolConfig {
        max,
        memory_bytes: 1 << 30,
        learned_max: 3,
        upkeep_every: Duration::from_millis(5),
        check_every: Duration::from_millis(5),
        refill_pause: Duration::from_millis(1),
        shapes,
        ..PoolConfig::off()
    }
}

fn world(engine: FakeEngine, pool: PoolConfig) -> World {
    let mut world = World::new(engine);
    world.config.pool = pool;
    world
}

/// The only shape, or the one with another image.
fn shape(node: &Node, image: &str) -> Option<PoolShape> {
    node.pool().shapes.into_iter().find(|shape| shape.image == image && !shape.retired)
}

fn ready(node: &Node, image: &str) -> u64 {
    shape(node, image).map_or(0, |shape| shape.ready)
}

fn of_image(id: &str, image: &str) -> JobRequest {
    let mut job = job(id, &["echo"]);
    job.sandbox.image = Some(ImageRef::new(image).unwrap());
    job
}

#[tokio::test]
async fn a_job_is_served_from_the_pool_and_its_sandbox_is_used_once() {
    let world = world(FakeEngine::echoing(), pool(2, vec![configured(2, 2)]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 2).await;
    let waiting = world.engine.living();
    let ended = result(node.run(job("a", &["echo", "hello"])).await);
    assert!(ended.outcome.timings.warm);
    world.until(|| ready(&node, "base") == 2 && world.engine.removed() == 1).await;
    let still: Vec<_> =
        world.engine.living().into_iter().filter(|id| waiting.contains(id)).collect();
    assert_eq!(still.len(), 1, "one of the two was used, and is gone");
    let shape = shape(&node, "base").unwrap();
    assert_eq!((shape.claims, shape.misses, shape.made), (1, 0, 3));
}

#[tokio::test]
async fn another_limit_or_image_is_another_shape() {
    let world = world(FakeEngine::echoing(), pool(2, vec![configured(1, 1)]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 1).await;
    let mut smaller = job("a", &["echo"]);
    smaller.sandbox.limits = LimitsRequest { pids: Some(7), ..LimitsRequest::default() };
    let mut restricted = job("b", &["echo"]);
    restricted.sandbox.network_policy = NetworkPolicy::Restricted;
    for other in [smaller, restricted, of_image("c", "other")] {
        assert!(!result(node.run(other).await).outcome.timings.warm);
    }
    assert_eq!(ready(&node, "base"), 1);
}

#[tokio::test]
async fn an_empty_pool_is_no_error() {
    let world = world(FakeEngine::echoing(), pool(1, vec![configured(1, 1)]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 1).await;
    let all = ["a", "b", "c", "d"].map(|id| node.run(job(id, &["echo", "hello"])));
    let mut warm = 0;
    for ended in futures_of(all).await {
        let ended = result(ended);
        assert_eq!(ended.outcome.stdout, "echo hello");
        warm += usize::from(ended.outcome.timings.warm);
    }
    assert!(warm >= 1, "the one that waited was used");
}

/// All of them at once.
async fn futures_of<F: Future>(all: [F; 4]) -> [F::Output; 4] {
    let [a, b, c, d] = all;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    [a, b, c, d]
}

#[tokio::test]
async fn use_is_learned_and_forgotten() {
    let pool = PoolConfig { half_life: Duration::from_millis(300), ..pool(3, vec![]) };
    let world = world(FakeEngine::echoing(), pool);
    let node = world.node().await;
    result(node.run(of_image("a", "often")).await);
    assert_eq!(shape(&node, "often").unwrap().wanted, 0, "once is no demand");
    result(node.run(of_image("b", "often")).await);
    result(node.run(of_image("c", "often")).await);
    world.until(|| ready(&node, "often") >= 1).await;
    assert!(result(node.run(of_image("d", "often")).await).outcome.timings.warm);
    world.until(|| shape(&node, "often").is_none() && world.engine.living().is_empty()).await;
}

#[tokio::test]
async fn a_full_pool_makes_room_for_what_is_used_more() {
    let pool = PoolConfig { learned_max: 2, ..pool(2, vec![configured(1, 2)]) };
    let world = world(FakeEngine::echoing(), pool);
    let node = world.node().await;
    for round in 0..3 {
        result(node.run(job(&format!("base-{round}"), &["echo"])).await);
    }
    world.until(|| ready(&node, "base") == 2).await;
    for round in 0..20 {
        result(node.run(of_image(&format!("often-{round}"), "often")).await);
    }
    world.until(|| ready(&node, "often") == 1 && ready(&node, "base") == 1).await;
    assert!(shape(&node, "base").unwrap().evicted >= 1);
}

#[tokio::test]
async fn an_engine_that_fails_is_left_alone_for_a_while_and_jobs_are_told() {
    let world = world(FakeEngine::echoing(), pool(1, vec![configured(1, 1)]));
    world.engine.inject(|faults| faults.failing_creations = 2);
    let node = world.node().await;
    world.until(|| shape(&node, "base").is_some_and(|shape| shape.failures == 1)).await;
    assert!(shape(&node, "base").unwrap().backing_off);
    world.until(|| ready(&node, "base") == 1).await;
    assert_eq!(shape(&node, "base").unwrap().failures, 2);
}

#[tokio::test]
async fn an_updated_image_retires_what_waits() {
    let world = world(FakeEngine::echoing(), pool(2, vec![configured(2, 2)]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 2).await;
    let old = world.engine.living();
    world.engine.inject(|faults| faults.image_build = 1);
    world.until(|| world.engine.removed() == 2 && ready(&node, "base") == 2).await;
    assert!(world.engine.living().iter().all(|id| !old.contains(id)));
    assert!(result(node.run(job("a", &["echo"])).await).outcome.timings.warm);
}

#[tokio::test]
async fn age_and_death_are_noticed() {
    let pool = PoolConfig { max_age: Duration::from_millis(50), ..pool(1, vec![configured(1, 1)]) };
    let world = world(FakeEngine::echoing(), pool);
    let node = world.node().await;
    world.until(|| shape(&node, "base").is_some_and(|shape| shape.replaced >= 2)).await;
    world.until(|| ready(&node, "base") == 1).await;
    world.engine.living().iter().for_each(|id| world.engine.vanish(id));
    world.until(|| shape(&node, "base").is_some_and(|shape| shape.lost >= 1)).await;
    world.until(|| ready(&node, "base") == 1).await;
}

#[tokio::test]
async fn a_dead_sandbox_is_never_served() {
    let pool =
        PoolConfig { upkeep_every: Duration::from_secs(60), ..pool(1, vec![configured(1, 1)]) };
    let world = world(FakeEngine::echoing(), pool);
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 1).await;
    world.engine.living().iter().for_each(|id| world.engine.vanish(id));
    // The end of the link is heard by a task of its own.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ended = result(node.run(job("a", &["echo", "hello"])).await);
    assert_eq!((ended.outcome.stdout.as_str(), ended.outcome.timings.warm), ("echo hello", false));
}

#[tokio::test]
async fn a_first_command_is_run_while_waiting_and_its_failure_is_no_sandbox() {
    let engine = FakeEngine::new(|command| match command.argv[0].as_str() {
        "fails" => Program { end: End::Code(3), ..Program::prints("") },
        _ => Program::prints(&command.argv.join(" ")),
    });
    let warm = |argv: &str| vec![argv.to_owned()];
    let good = ConfiguredShape { warm_up: warm("warms"), ..configured(1, 1) };
    let bad = ConfiguredShape {
        image: ImageRef::new("bad").unwrap(),
        warm_up: warm("fails"),
        ..configured(1, 1)
    };
    let world = world(engine, pool(4, vec![good, bad]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 1).await;
    world.until(|| shape(&node, "bad").is_some_and(|shape| shape.failures >= 1)).await;
    assert_eq!(ready(&node, "bad"), 0);
    let ended = result(node.run(job("a", &["echo", "hello"])).await);
    assert!(ended.outcome.timings.warm);
    assert_eq!(ended.outcome.stdout, "echo hello", "and nothing of the first command");
}

#[tokio::test]
async fn a_node_that_leaves_leaves_no_waiting_sandbox_and_one_that_dies_leaves_none_to_use() {
    let world = world(FakeEngine::echoing(), pool(2, vec![configured(2, 2)]));
    let node = world.node().await;
    world.until(|| ready(&node, "base") == 2).await;
    let old = world.engine.living();
    // A second life beside the first, which never heard of its end: as after a kill.
    let next = world.node().await;
    assert!(world.engine.living().iter().all(|id| !old.contains(id)), "nobody knows who used them");
    world.until(|| ready(&next, "base") == 2).await;
    next.drain(Duration::ZERO).await;
    node.drain(Duration::ZERO).await;
    assert!(world.engine.living().is_empty());
}
