//! Jobs that are run and waited for, and what their results say.

use crate::world::World;
use cucumber::{given, then, when};
use serde_json::{Value, json};

fn result(world: &World) -> Value {
    let answer = world.last();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Features write line breaks as `\n`, and escapes for the shell with two backslashes.
pub(crate) fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n")
}

async fn run(world: &mut World, script: &str, more: Value) {
    let job = world.script(&script.replace("\\\\", "\\"), more);
    world.run(job).await;
}

#[when(expr = "the dispatcher runs {string}")]
async fn runs(world: &mut World, script: String) {
    run(world, &script, json!({})).await;
}

#[given(expr = "a job that ran {string}")]
async fn ran(world: &mut World, script: String) {
    run(world, &script, json!({})).await;
    assert_eq!(result(world)["status"], "completed");
}

#[given(expr = "a job that ran {string} with the variable SECRET {string}")]
async fn ran_with_secret(world: &mut World, script: String, secret: String) {
    run(world, &script, json!({"env": {"SECRET": secret}})).await;
}

#[when(expr = "the dispatcher runs the command {string}")]
async fn runs_command(world: &mut World, program: String) {
    let job = world.job(json!({"command": [program]}));
    world.run(job).await;
}

#[when(
    expr = "the dispatcher runs {string} with CYNODE_TASK_ID {string} and CYNODE_PROMPT {string}"
)]
async fn runs_with_names(world: &mut World, script: String, task: String, prompt: String) {
    run(world, &script, json!({"env": {"CYNODE_TASK_ID": task, "CYNODE_PROMPT": prompt}})).await;
}

#[when(expr = "the dispatcher runs {string} with the policy {string}")]
async fn runs_with_policy(world: &mut World, script: String, policy: String) {
    run(world, &script, json!({"network_policy": policy})).await;
}

#[when(expr = "the dispatcher runs {string} with {int} MiB of memory and {int} processes")]
async fn runs_with_limits(world: &mut World, script: String, memory: u64, processes: u64) {
    let limits = json!({"memory_bytes": memory << 20, "pids": processes});
    run(world, &script, json!({"limits": limits})).await;
}

#[when(expr = "the dispatcher runs an agent that copies {string} to {string}")]
async fn runs_agent(world: &mut World, from: String, to: String) {
    run(world, &format!("cp {from} {to}"), json!({"job_spec_json": "{\"steps\":[1,2]}"})).await;
}

#[when(expr = "the dispatcher runs an agent that links {string} to {string}")]
async fn runs_linking_agent(world: &mut World, from: String, to: String) {
    run(world, &format!("ln -s {from} {to}"), json!({"job_spec_json": "{}"})).await;
}

#[when(expr = "the dispatcher runs {int} jobs at once that each print their own id {int} times")]
async fn runs_many(world: &mut World, jobs: usize, times: usize) {
    let script = format!("for i in $(seq {times}); do echo $CYNODE_JOB_ID; done");
    let jobs: Vec<Value> = (0..jobs).map(|_| world.script(&script, json!({}))).collect();
    at_once(world, jobs).await;
    world.times = times;
}

#[when(expr = "{int} jobs that print their range of users run at once")]
async fn runs_maps(world: &mut World, jobs: usize) {
    let script = "cat /proc/self/uid_map; sleep 1";
    let jobs: Vec<Value> = (0..jobs).map(|_| world.script(script, json!({}))).collect();
    at_once(world, jobs).await;
}

pub(crate) async fn at_once(world: &mut World, jobs: Vec<Value>) {
    let caller = world.node().caller.clone();
    let posts = jobs.into_iter().map(|job| {
        let caller = caller.clone();
        async move { caller.post("/v1/worker/jobs:run", job.to_string()).await }
    });
    world.answers = futures::future::join_all(posts).await;
}

#[then("each output holds its own id and no other")]
fn outputs_apart(world: &mut World) {
    for answer in &world.answers {
        let result = answer.json();
        let id = result["job_id"].as_str().expect("an id");
        assert_eq!(result["stdout"], format!("{id}\n").repeat(world.times));
    }
}

#[then("the ranges differ")]
fn ranges_differ(world: &mut World) {
    let starts: std::collections::BTreeSet<String> = world
        .answers
        .iter()
        .map(|answer| {
            answer.json()["stdout"]
                .as_str()
                .expect("output")
                .split_whitespace()
                .nth(1)
                .expect("a map")
                .to_owned()
        })
        .collect();
    assert_eq!(starts.len(), world.answers.len(), "{starts:?}");
    assert!(!starts.contains("0"), "{starts:?}");
}

#[then("the job completed")]
fn completed(world: &mut World) {
    let result = result(world);
    assert_eq!(
        (&result["status"], &result["exit_code"]),
        (&json!("completed"), &json!(0)),
        "{result}"
    );
}

#[then(expr = "the job failed with code {int} because of {string}")]
fn failed(world: &mut World, code: i64, reason: String) {
    let result = result(world);
    assert_eq!(result["status"], "failed", "{result}");
    assert_eq!(
        (&result["exit_code"], &result["reason"]),
        (&json!(code), &json!(reason)),
        "{result}"
    );
}

#[then(expr = "its output is {string}")]
fn output_is(world: &mut World, text: String) {
    let result = result(world);
    let stdout = result["stdout"].as_str().expect("output");
    assert_eq!(stdout.trim_end_matches('\n'), unescaped(&text), "{result}");
}

#[then(expr = "its output is the task's id and {string}")]
fn output_is_task(world: &mut World, text: String) {
    let expected = format!("{} {text}\n", world.task_id);
    assert_eq!(result(world)["stdout"], expected);
}

#[then(expr = "its error output is {string}")]
fn error_output_is(world: &mut World, text: String) {
    assert_eq!(result(world)["stderr"], format!("{text}\n"));
}

#[then(expr = "its error output contains {string}")]
fn error_output_contains(world: &mut World, text: String) {
    let result = result(world);
    assert!(result["stderr"].as_str().expect("output").contains(&text), "{result}");
}

#[then(expr = "{int} bytes of its output were kept and it is marked as cut")]
fn output_cut(world: &mut World, bytes: usize) {
    let result = result(world);
    assert_eq!(result["stdout"].as_str().expect("output").len(), bytes);
    assert_eq!(result["truncated"], json!({"stdout": true, "stderr": false}));
}

#[then("the result of the agent is its specification")]
fn sba_result(world: &mut World) {
    assert_eq!(result(world)["sba_result"], json!({"steps": [1, 2]}));
}

#[then("there is no result of the agent")]
fn no_sba_result(world: &mut World) {
    assert!(result(world).get("sba_result").is_none());
}

#[then(expr = "the limits of the result are {int} MiB of memory and {int} processes")]
fn limits_told(world: &mut World, memory: u64, processes: u64) {
    let limits = result(world)["limits"].clone();
    assert_eq!(
        (&limits["memory_bytes"], &limits["pids"]),
        (&json!(memory << 20), &json!(processes))
    );
}
