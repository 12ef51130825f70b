//! What a real inference server shows of the jobs that use it.

use super::{
    programs::said,
    watch::{ended, until_printed},
};
use crate::{
    real_model::{MODEL, RealModel},
    world::World,
};
use cucumber::{given, then};
use serde_json::json;
use std::time::{Duration, Instant};

/// One answer without an end: what would end it, the token `</s>`, is forbidden.
const ENDLESS: &str = "
import openai
chunks = openai.OpenAI(max_retries=0).chat.completions.create(
    model='dev', messages=[{'role': 'user', 'content': 'go on'}], stream=True, logit_bias={'2': -100})
for count, chunk in enumerate(chunks):
    if count == 3:
        print('flows', flush=True)
raise SystemExit('it ended')
";

#[given("a node with a real inference server")]
async fn node_with_a_real_server(world: &mut World) {
    let server = RealModel::start().await;
    for (name, value) in [
        ("OLLAMA_UPSTREAM_URL", format!("http://{}", server.address())),
        ("INFERENCE_MODELS", format!("dev={MODEL}")),
    ] {
        world.settings.push((name.to_owned(), value));
    }
    world.real_model = Some(server);
    world.start().await;
}

fn server(world: &World) -> &RealModel {
    world.real_model.as_ref().expect("a real server")
}

/// The tokens that the last job was charged, in and out.
fn used(world: &World) -> (u64, u64) {
    let usage = world.last().json()["inference"].clone();
    assert_eq!((&usage["estimated"], &usage["unfinished"]), (&json!(0), &json!(0)), "{usage}");
    let count = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("no {name}: {usage}"));
    (count("input_tokens"), count("output_tokens"))
}

#[then("the job has used the tokens that the server has counted")]
async fn counted_by_the_server(world: &mut World) {
    let counted = server(world).tokens().await;
    assert!(counted.0 > 0 && counted.1 > 0, "{counted:?}");
    assert_eq!(used(world), counted);
}

#[then("its client was told the same")]
fn told_to_the_client(world: &mut World) {
    let lines = said(world);
    let sum = |names: [&str; 2]| -> u64 {
        let usages = lines.iter().map(|line| &line["usage"]);
        usages.filter_map(|usage| names.iter().find_map(|name| usage[*name].as_u64())).sum()
    };
    // Chat has the first of the names, responses have the second.
    let told =
        (sum(["prompt_tokens", "input_tokens"]), sum(["completion_tokens", "output_tokens"]));
    assert_eq!(used(world), told, "{lines:?}");
}

#[given("a job whose client listens to an answer without end")]
async fn listens(world: &mut World) {
    let job = world.job(json!({
        "image": "localhost/pinfold/sdk-python:latest",
        "command": ["python3", "-c", ENDLESS],
        "use_inference": true,
    }));
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    until_printed(world, "flows").await;
    assert!(server(world).is_busy().await);
}

#[then(expr = "the server's only slot is free within {int} ms")]
async fn slot_is_free(world: &mut World, most: u64) {
    let view = ended(world).await;
    let since = Instant::now();
    assert_eq!(view["result"]["status"], "canceled", "{view}");
    assert_eq!(view["result"]["inference"]["unfinished"], 1, "{view}");
    while server(world).is_busy().await {
        assert!(since.elapsed() < Duration::from_millis(most), "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
