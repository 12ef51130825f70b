//! Requests as callers get them wrong, and what they are told.

use crate::world::World;
use cucumber::{then, when};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[when(regex = "^the dispatcher mistakenly posts (.+)$")]
async fn posts(world: &mut World, mistake: String) {
    let mut job = world.script("true", json!({}));
    let quoted = |text: &str| text.split('"').nth(1).unwrap_or_default().to_owned();
    let body = match mistake.as_str() {
        "something that is not JSON" => "{\"version\":".to_owned(),
        "a body of 11 MiB" => {
            job["sandbox"]["stdin"] = Value::from("x".repeat(11 << 20));
            job.to_string()
        }
        mistake => {
            match mistake {
                "version 2" => job["version"] = json!(2),
                "an empty command" => job["sandbox"]["command"] = json!([]),
                "an unknown field" => job["sandbox"]["colour"] = json!("red"),
                "a job without task id" => {
                    drop(job.as_object_mut().expect("job").remove("task_id"))
                }
                "a job id of 300 characters" => job["job_id"] = json!("x".repeat(300)),
                "a job id with a NUL" => job["job_id"] = json!("a\0b"),
                "an image that is not there" => {
                    job["sandbox"]["image"] = json!("localhost/pinfold/nowhere:1")
                }
                "a wish for inference" => job["sandbox"]["use_inference"] = json!(true),
                "more memory than the node gives" => {
                    job["sandbox"]["limits"] = json!({"memory_bytes": 1u64 << 50});
                }
                id if id.starts_with("the job id ") => job["job_id"] = json!(quoted(id)),
                image if image.starts_with("the image ") => {
                    job["sandbox"]["image"] = json!(quoted(image))
                }
                other => panic!("nobody knows how to post {other}"),
            }
            job.to_string()
        }
    };
    let began = Instant::now();
    let answer = world.node().caller.post("/v1/worker/jobs:run", body).await;
    world.notes = vec![began.elapsed().as_millis().to_string()];
    world.answers.push(answer);
}

#[then(expr = "it is refused with {int} and the type {string}")]
fn refused(world: &mut World, status: u16, kind: String) {
    let answer = world.last();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.kind, "application/problem+json");
    assert_eq!(answer.json()["type"], format!("urn:cynodeai:error:{kind}"));
}

#[then(expr = "the answer came within {int} ms")]
fn within(world: &mut World, most: u64) {
    let took: u64 = world.notes[0].parse().expect("milliseconds");
    assert!(took <= most, "{took} ms");
}

#[when(expr = "the dispatcher posts the same id for {string}")]
async fn posts_other(world: &mut World, script: String) {
    let mut job = world.last_job.clone();
    job["sandbox"]["command"] = json!(["sh", "-c", script]);
    world.run(job).await;
}

#[when("the dispatcher posts the same job again")]
#[when("posts the same job again")]
async fn posts_again(world: &mut World) {
    let job = world.last_job.clone();
    world.run(job).await;
}

#[when(expr = "the dispatcher posts a job that prints a random number {int} times at once")]
async fn posts_at_once(world: &mut World, times: usize) {
    let job = world.script("cat /proc/sys/kernel/random/uuid; sleep 0.5", json!({}));
    super::jobs::at_once(world, vec![job; times]).await;
}

#[then("all answers are equal")]
fn all_equal(world: &mut World) {
    assert!(world.answers.len() > 1);
    let first = world.answers[0].json();
    assert_eq!(first["status"], "completed", "{first}");
    assert!(world.answers.iter().all(|answer| answer.json() == first));
}

#[then("one sandbox was made")]
async fn one_sandbox(world: &mut World) {
    let metrics = world.node().caller.get("/metrics").await.text();
    let made = metrics.lines().find(|line| line.starts_with("pinfold_sandbox_seconds_count"));
    assert_eq!(made.and_then(|line| line.rsplit(' ').next()), Some("1"), "{metrics}");
}

#[when(expr = "the dispatcher hangs up on a job that runs {string}")]
async fn hangs_up(world: &mut World, script: String) {
    let job = world.script(&script, json!({}));
    let caller = world.node().caller.clone();
    let post = caller.post("/v1/worker/jobs:run", job.to_string());
    assert!(tokio::time::timeout(Duration::from_millis(300), post).await.is_err());
}

#[when(expr = "the dispatcher submits {int} jobs that run {string}")]
async fn submits_many(world: &mut World, jobs: usize, script: String) {
    for _ in 0..jobs {
        let job = world.script(&script, json!({}));
        let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
        world.answers.push(answer);
    }
}

#[then("the last one is turned away for now")]
fn turned_away(world: &mut World) {
    let statuses: Vec<u16> = world.answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [202, 202, 503]);
    assert_eq!(world.last().json()["type"], "urn:cynodeai:error:rate_limit");
}
