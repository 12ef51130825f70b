//! The contract's session: a strict provider, the calls of a sandbox, and what the provider saw of them.

use super::{inference, programs, providers};
use crate::{strict_provider::StrictProvider, world::World};
use cucumber::{given, then, when};
use serde_json::{Value, json};

fn provider(world: &World) -> &StrictProvider {
    world.operator.strict().expect("a strict provider")
}

fn stdout(world: &World) -> String {
    let result = world.last().json();
    result["stdout"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

#[given("a provider that is strict about its key and its models")]
async fn strict(world: &mut World) {
    world.operator.start_strict().await;
}

#[given(expr = "the operator has set the route {string} to {string} of {string}")]
async fn has_route(world: &mut World, alias: String, model: String, kind: String) {
    for line in [
        format!("provider create --name {kind} --type {kind} --from-existing"),
        format!("inference set --route {alias} --provider {kind} --model {model}"),
    ] {
        providers::types(world, line).await;
    }
    // What was asked to prove the route is not a sandbox's.
    provider(world).take();
}

/// As the contract has it: no header but curl's own.
fn curl(model: &str) -> String {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    format!("curl -sS https://inference.local/v1/chat/completions -d '{body}'")
}

#[when(expr = "a job with curl asks https:\\/\\/inference.local for the model {string}")]
async fn asks(world: &mut World, model: String) {
    provider(world).take();
    inference::run(world, &curl(&model), json!({"image": inference::CURL_IMAGE})).await;
}

#[when(
    expr = "a job runs the program {string} by HTTPS, for the model {string}, with the cases {string}"
)]
async fn runs(world: &mut World, program: String, model: String, cases: String) {
    let mut env = programs::by_https();
    env["MODEL"] = json!(model);
    programs::run(world, program, cases, env).await;
}

#[then(expr = "the answer is from {string}")]
fn is_from(world: &mut World, model: String) {
    let said: Value = serde_json::from_str(&stdout(world)).expect("a completion");
    let text = said["choices"][0]["message"]["content"].as_str().expect("text");
    assert_eq!((text, &said["model"]), (format!("this is from {model}").as_str(), &json!(model)));
}

#[then(expr = "each answer is from {string}")]
fn each_is_from(world: &mut World, model: String) {
    for line in programs::said(world) {
        assert_eq!(line["text"], format!("this is from {model}"), "{line}");
    }
}

#[then(expr = "the provider was asked for {string} with its key in {string} alone")]
fn was_asked(world: &mut World, model: String, header: String) {
    let seen = provider(world).take();
    assert!(!seen.is_empty(), "it was asked nothing");
    world.times = seen.iter().filter(|call| call.stream).count();
    for call in seen {
        assert_eq!((&call.model, &call.key_in), (&model, &vec![header.clone()]), "{}", call.head);
        // What the client shows, since it will not start without, goes no further than the gate.
        assert!(!call.head.contains("none-needed"), "{}", call.head);
    }
}

#[then("one of the calls was a stream")]
fn one_stream(world: &mut World) {
    assert_eq!(world.times, 1);
}

#[given(expr = "a job that calls the model {string} again and again")]
async fn again_and_again(world: &mut World, model: String) {
    let script = format!(
        "for each in $(seq 600); do {} || exit 1; echo; sleep 0.05; [ -e done ] && exit 0; done; exit 2",
        curl(&model)
    );
    let job = world.script(&script, json!({"image": inference::CURL_IMAGE, "use_inference": true}));
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    world.node().caller.get_until(&path, "this is from").await;
}

#[then(
    expr = "the job's calls were all answered, first from {string} and in the end from {string}"
)]
async fn all_answered(world: &mut World, before: String, after: String) {
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    let told = world.node().caller.get_until(&path, &format!("this is from {after}")).await;
    let at = |model: &str| told.find(&format!("this is from {model}"));
    assert!(at(&before) < at(&after) && at(&before).is_some(), "{told}");
    assert!(!told.contains("\\\"error\\\""), "{told}");
}
