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
use serde_json::{Value, json};
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

fn sum(lines: &[Value], names: [&str; 2]) -> u64 {
    let usages = lines.iter().map(|line| &line["usage"]);
    usages.filter_map(|usage| names.iter().find_map(|name| usage[*name].as_u64())).sum()
}

#[then("the job, its client and the server have counted the same tokens")]
async fn same_tokens(world: &mut World) {
    let usage = world.last().json()["inference"].clone();
    let job = (usage["input_tokens"].as_u64(), usage["output_tokens"].as_u64());
    let (input, output) = server(world).tokens().await;
    assert!(input > 0 && output > 0, "{input} and {output}");
    assert_eq!(job, (Some(input), Some(output)), "{usage}");
    let lines = said(world);
    let client = (
        sum(&lines, ["prompt_tokens", "input_tokens"]),
        sum(&lines, ["completion_tokens", "output_tokens"]),
    );
    assert_eq!(client, (input, output), "{lines:?}");
    assert_eq!((&usage["estimated"], &usage["unfinished"]), (&json!(0), &json!(0)), "{usage}");
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
