//! Templates: what is furnished ahead, and that nobody gets what a name meant before.

use crate::world::World;
use contracts::{
    TemplateName,
    code::{ExecuteRequest, Language, OpenRequest},
    file::InputFile,
    link::End,
    template::{TemplatePool, TemplateSpec, TemplateStatus},
};
use executor::fake::{FakeEngine, Program};
use jobs::{JobError, Node, PoolConfig};
use std::time::Duration;

fn name(text: &str) -> TemplateName {
    TemplateName::new(text).unwrap()
}

fn spec(content: &str, min: u64) -> TemplateSpec {
    let file = InputFile {
        path: "a".to_owned(),
        content: Some(content.to_owned()),
        content_base64: None,
        executable: false,
    };
    let pool = Some(TemplatePool { min, max: None });
    TemplateSpec { files: vec![file], pool, ..TemplateSpec::default() }
}

fn world(engine: FakeEngine, max: usize) -> World {
    let mut world = World::new(engine);
    world.config.pool = PoolConfig {
        max,
        memory_bytes: 1 << 30,
        upkeep_every: Duration::from_millis(5),
        refill_pause: Duration::from_millis(1),
        ..PoolConfig::off()
    };
    world
}

fn waiting(node: &Node, text: &str) -> u64 {
    node.template(&name(text)).map_or(0, |view| view.state.waiting)
}

fn status(node: &Node, text: &str) -> TemplateStatus {
    node.template(&name(text)).unwrap().state.status
}

fn from(text: &str) -> OpenRequest {
    OpenRequest { template: Some(name(text)), ..OpenRequest::default() }
}

#[tokio::test]
async fn a_session_is_one_that_waited_and_another_is_made_for_it() {
    let world = world(FakeEngine::echoing(), 4);
    let node = world.node().await;
    let (view, is_new) = node.put_template(name("a"), spec("one", 2)).await.unwrap();
    assert!(is_new && view.state.status == TemplateStatus::Building);
    world.until(|| waiting(&node, "a") == 2).await;
    assert_eq!(status(&node, "a"), TemplateStatus::Ready);
    node.open_code(from("a")).await.unwrap();
    world.until(|| waiting(&node, "a") == 2).await;
    let shape = &node.pool().shapes[0];
    assert_eq!((shape.claims, shape.misses, shape.made), (1, 0, 3));
    assert_eq!(shape.template.as_deref(), Some("a"));
    // The same again is no change.
    let (_, is_new) = node.put_template(name("a"), spec("one", 2)).await.unwrap();
    assert!(!is_new);
    assert_eq!(world.engine.living().len(), 3);
    node.drain(Duration::ZERO).await;
}

/// On two threads and often: who looks comes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_that_it_is_ready_finds_one_that_waits() {
    let world = world(FakeEngine::echoing(), 64);
    let node = world.node().await;
    for count in 0..30 {
        let template = &format!("t{count}");
        node.put_template(name(template), spec(template, 1)).await.unwrap();
        world.until(|| status(&node, template) == TemplateStatus::Ready).await;
        assert_eq!(waiting(&node, template), 1, "{template}");
    }
    node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn a_template_that_changed_or_went_takes_along_what_waited() {
    let world = world(FakeEngine::echoing(), 4);
    let node = world.node().await;
    node.put_template(name("a"), spec("one", 2)).await.unwrap();
    world.until(|| waiting(&node, "a") == 2).await;
    let old = world.engine.living();
    let (_, is_new) = node.put_template(name("a"), spec("two", 2)).await.unwrap();
    assert!(!is_new);
    assert_eq!(waiting(&node, "a"), 0, "from this moment on none of the old is one of it");
    world.until(|| waiting(&node, "a") == 2 && world.engine.removed() == 2).await;
    assert!(world.engine.living().iter().all(|id| !old.contains(id)));
    node.delete_template(&name("a")).await.unwrap();
    assert!(matches!(node.open_code(from("a")).await, Err(JobError::Refused(_))));
    world.until(|| world.engine.living().is_empty()).await;
    assert!(matches!(node.delete_template(&name("a")).await, Err(JobError::NotFound(_))));
    node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn one_that_fails_is_told_and_holds_up_no_other() {
    // The interpreter of one of them never begins: its first cell fails.
    let engine = FakeEngine::new(|command| match command.argv[..].first().map(String::as_str) {
        Some("cell") if command.argv[1].starts_with("bash") => {
            Program { end: End::Code(3), ..Program::prints("") }
        }
        _ => Program::prints(""),
    });
    let world = world(engine, 4);
    let node = world.node().await;
    let bad = TemplateSpec { lang: Language::Bash, ..spec("one", 1) };
    node.put_template(name("bad"), bad).await.unwrap();
    node.put_template(name("good"), spec("one", 2)).await.unwrap();
    world.until(|| waiting(&node, "good") == 2).await;
    world.until(|| status(&node, "bad") == TemplateStatus::Failed).await;
    let why = node.template(&name("bad")).unwrap().state.why.unwrap();
    assert!(why.contains("interpreter"), "{why}");
    // Who asks meanwhile is told so, and costs no build.
    let Err(JobError::Refused(faults)) = node.open_code(from("bad")).await else { panic!("it is") };
    assert!(faults.to_string().contains("interpreter"), "{faults}");
    assert_eq!(node.pool().shapes.iter().map(|shape| shape.misses).sum::<u64>(), 0);
    node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn none_has_to_wait_and_it_is_tried_all_the_same() {
    let world = world(FakeEngine::echoing(), 0);
    let node = world.node().await;
    node.put_template(name("a"), spec("one", 0)).await.unwrap();
    world.until(|| status(&node, "a") == TemplateStatus::Ready).await;
    world.until(|| world.engine.living().is_empty()).await;
    let request = ExecuteRequest { template: Some(name("a")), ..ExecuteRequest::default() };
    node.execute_once(request).await.unwrap();
    let room = node.put_template(name("b"), spec("one", 1)).await;
    let Err(JobError::Refused(faults)) = room else { panic!("nothing waits on this node") };
    assert!(faults.to_string().contains("pool.min"), "{faults}");
    node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn a_language_is_the_templates_and_its_bounds_are_the_nodes() {
    let world = world(FakeEngine::echoing(), 4);
    let node = world.node().await;
    node.put_template(name("a"), spec("one", 1)).await.unwrap();
    let bash = OpenRequest { lang: Some(Language::Bash), ..from("a") };
    assert!(matches!(node.open_code(bash).await, Err(JobError::Refused(_))));
    let mut large = spec("one", 0);
    large.limits.pids = Some(1 << 40);
    assert!(matches!(node.put_template(name("b"), large).await, Err(JobError::Refused(_))));
    for more in 0..31 {
        node.put_template(name(&format!("c{more}")), spec("one", 0)).await.unwrap();
    }
    assert!(matches!(
        node.put_template(name("d"), spec("one", 0)).await,
        Err(JobError::Refused(_))
    ));
    node.put_template(name("c0"), spec("two", 0)).await.expect("it is there already");
    node.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn templates_are_there_in_the_next_life() {
    let world = world(FakeEngine::echoing(), 4);
    let node = world.node().await;
    node.put_template(name("a"), spec("one", 1)).await.unwrap();
    world.until(|| waiting(&node, "a") == 1).await;
    node.drain(Duration::ZERO).await;
    let next = world.node().await;
    let view = next.template(&name("a")).unwrap();
    assert_eq!(view.spec, spec("one", 1));
    world.until(|| waiting(&next, "a") == 1).await;
    next.drain(Duration::ZERO).await;
    assert!(world.engine.living().is_empty());
}
