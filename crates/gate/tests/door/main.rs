//! A door between a raw client and a scripted upstream: what passes, what it costs, how it ends.

mod world;

use contracts::{inference::Caps, packages::Registry};
use gate::{Budget, Fetching, Tenant};
use std::sync::Arc;
use std::time::Duration;
use world::{World, stream};

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"a","stream":true,"messages":[],"max_tokens":50}"#;
const FRAME: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn nobody_passes_before_somebody_is_admitted() {
    let world = World::open().await;
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(world.upstream.heard(), 0);
}

#[tokio::test]
async fn a_door_opens_once() {
    let world = World::open().await;
    assert!(world.admit(Caps::default(), None));
    let other = Tenant {
        task: "u".into(),
        job: "k".into(),
        budget: Some(Budget::new(Caps::default())),
        fetching: Fetching::new(Arc::default()),
        models: None,
    };
    assert!(!world.door.admit(other));
}

#[tokio::test]
async fn what_is_prepared_may_ask_for_packages_alone_and_only_while_it_is() {
    const PAGE: &str = "/packages/pypi/simple/a/";
    let world = World::open().await;
    let tenant = || Tenant {
        task: "template".into(),
        job: "a".into(),
        budget: None,
        fetching: Fetching::new(Arc::default()),
        models: None,
    };
    let pypi = || std::iter::once(Registry::Pypi).collect();
    let nobody = "no job has this sandbox";
    assert!(world.get(PAGE).await.contains(nobody));
    let preparing = world.door.let_prepare(tenant(), pypi()).await.unwrap();
    // This gate serves no registry, and says so to who is heard.
    let answer = world.get(PAGE).await;
    assert!(answer.contains("packages_not_allowed"), "{answer}");
    assert!(world.post(CHAT, ASK).await.contains(nobody));
    assert!(world.door.fetched().is_none(), "it is at nobody's cost");
    drop(preparing);
    assert!(world.get(PAGE).await.contains(nobody));
    assert!(world.door.admit(tenant()));
    assert!(world.door.let_prepare(tenant(), pypi()).await.is_none(), "it is somebody's now");
}

#[tokio::test]
async fn a_stream_passes_as_it_came_and_is_counted_without_the_client_seeing_how() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    world.upstream.says(&stream(&[FRAME, USAGE, DONE]));
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.contains(FRAME) && answer.contains(DONE), "{answer}");
    assert!(
        !answer.contains("prompt_tokens"),
        "asked for by the gate, not by the client: {answer}"
    );
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    let asked = world.upstream.last();
    assert!(asked.contains(r#""model":"real""#) && asked.contains("include_usage"), "{asked}");
    assert!(!asked.to_lowercase().contains("authorization"), "{asked}");
    let usage = world.door.usage().unwrap();
    assert_eq!((usage.requests, usage.input_tokens, usage.output_tokens), (1, 7, 3));
    assert_eq!((usage.unfinished, usage.estimated), (0, 0));
}

#[tokio::test]
async fn a_stream_without_its_end_mark_never_ends_well() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    world.upstream.says(&stream(&[FRAME]));
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.contains(FRAME) && answer.contains("upstream_unfinished"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    let usage = world.door.usage().unwrap();
    assert_eq!((usage.requests, usage.unfinished, usage.estimated), (1, 1, 1));
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_ends_the_stream_as_an_error() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    world.upstream.says(&stream(&[FRAME, "data: {\"choices\":[{\n\n", FRAME, USAGE, DONE]));
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.contains(FRAME) && answer.contains("upstream_garbled"), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    assert_eq!(world.door.usage().unwrap().requests, 1);
}

#[tokio::test]
async fn a_spent_budget_refuses_and_the_upstream_hears_nothing_of_it() {
    let world = World::open().await;
    world.admit(Caps { max_requests: Some(1), ..Caps::default() }, None);
    world.upstream.says(&stream(&[FRAME, USAGE, DONE]));
    assert!(world.post(CHAT, ASK).await.starts_with("HTTP/1.1 200 "));
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("x-should-retry: false"), "{answer}");
    assert_eq!(world.upstream.heard(), 1);
    assert_eq!(world.door.usage().unwrap().refused, 1);
}

#[tokio::test]
async fn a_job_has_its_own_names() {
    let world = World::open().await;
    world.admit(Caps::default(), Some(vec!["b".to_owned()]));
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let list = world.get("/v1/models").await;
    assert!(list.contains(r#""id":"b""#) && !list.contains(r#""id":"a""#), "{list}");
    assert_eq!(world.upstream.heard(), 0);
}

#[tokio::test]
async fn a_refusal_of_the_provider_passes_and_costs_nothing() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    world.upstream.says(
        "HTTP/1.1 429 Too Many\r\nretry-after: 7\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\n{}",
    );
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("retry-after: 7"), "{answer}");
    assert!(!answer.contains("set-cookie"), "{answer}");
    let usage = world.door.usage().unwrap();
    assert_eq!((usage.requests, usage.output_tokens), (0, 0));
}

#[tokio::test]
async fn closing_a_door_ends_the_calls_behind_it() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    // A head and a frame, and then nothing more for ever.
    let endless = stream(&[FRAME]);
    world.upstream.says(endless.trim_end_matches("0\r\n\r\n"));
    let mut client = world.connect().await;
    client.send(CHAT, ASK).await;
    client.until(FRAME).await;
    let closed = tokio::time::timeout(Duration::from_millis(500), world.door.close()).await;
    assert!(closed.is_ok(), "it goes on");
    world.upstream.until_left().await;
    let usage = world.door.usage().unwrap();
    assert_eq!((usage.requests, usage.unfinished), (1, 1));
}

#[tokio::test]
async fn a_body_has_its_size_and_its_encoding() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    let large = format!(r#"{{"model":"a","messages":["{}"]}}"#, "x".repeat(70_000));
    assert!(world.post(CHAT, &large).await.starts_with("HTTP/1.1 413 "));
    assert!(world.post(CHAT, "{").await.starts_with("HTTP/1.1 400 "));
    assert!(world.post("/api/pull", "{}").await.starts_with("HTTP/1.1 403 "));
    assert_eq!(world.upstream.heard(), 0);
    assert_eq!(world.door.usage().unwrap().refused, 3);
}

#[tokio::test]
async fn a_call_that_finds_nobody_to_serve_it_is_a_refused_one() {
    let world = World::without_upstream().await;
    world.admit(Caps::default(), None);
    let answer = world.post(CHAT, ASK).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("route_missing"), "{answer}");
    assert_eq!(world.door.usage().unwrap().refused, 1);
}

#[tokio::test]
async fn an_answer_that_can_not_be_read_along_is_none() {
    let world = World::open().await;
    world.admit(Caps::default(), None);
    for status in ["200 OK", "400 Bad Request"] {
        let head = stream(&[FRAME, DONE])
            .replace("content-type", "content-encoding: gzip\r\ncontent-type");
        world.upstream.says(&head.replace("200 OK", status));
        let answer = world.post(CHAT, ASK).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(answer.contains("upstream_encoded") && !answer.contains("gzip"), "{answer}");
        assert!(world.upstream.last().contains("accept-encoding: identity\r\n"));
    }
    // What the model said is paid for, as far as it can be known.
    let usage = world.door.usage().unwrap();
    assert_eq!((usage.requests, usage.output_tokens), (2, 100));
}
