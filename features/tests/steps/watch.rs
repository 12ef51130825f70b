//! Jobs that are submitted and watched from outside.

use crate::world::World;
use bytes::Bytes;
use cucumber::{then, when};
use serde_json::{Value, json};
use std::time::Duration;

async fn submit(world: &mut World, script: &str, more: Value) {
    let job = world.script(script, more);
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[when(expr = "the dispatcher submits {string}")]
async fn submits(world: &mut World, script: String) {
    submit(world, &script, json!({})).await;
}

#[when(expr = "the dispatcher submits {string} with its input open")]
async fn submits_open(world: &mut World, script: String) {
    submit(world, &script, json!({"stdin_open": true})).await;
}

#[when(expr = "the dispatcher submits {string} for at most {int} seconds")]
async fn submits_limited(world: &mut World, script: String, seconds: u64) {
    submit(world, &script, json!({"timeout_seconds": seconds})).await;
}

/// Reads the events until the output holds a text.
pub(crate) async fn until_printed(world: &World, text: &str) {
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    for _ in 0..100 {
        let read = world.node().caller.get(&path);
        // A running job's events don't end: what came within a moment is looked at by its view.
        let seen = tokio::time::timeout(Duration::from_millis(100), read).await;
        if seen.is_ok_and(|answer| answer.text().contains(text)) {
            return;
        }
        if events_so_far(world).await.contains(text) {
            return;
        }
    }
    panic!("it never printed {text:?}");
}

/// What the stream of events holds within a short while.
async fn events_so_far(world: &World) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let caller = &world.node().caller;
    let mut stream =
        tokio::net::TcpStream::connect(caller.address).await.expect("the node listens");
    let request = format!(
        "GET /v1/worker/jobs/{}/events HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {}\r\n\r\n",
        world.job_id(),
        caller.token.as_deref().unwrap_or_default()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let deadline = tokio::time::Instant::now() + Duration::from_millis(1500);
    while let Ok(Ok(count)) = tokio::time::timeout_at(deadline, stream.read(&mut piece)).await {
        text.extend_from_slice(&piece[..count]);
        let so_far = String::from_utf8_lossy(&text);
        if count == 0 || so_far.contains("event: stdout") {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The job as it is seen once it has ended.
pub(crate) async fn ended(world: &World) -> Value {
    ended_by_id(world, &world.job_id()).await
}

pub(crate) async fn ended_by_id(world: &World, id: &str) -> Value {
    let path = format!("/v1/worker/jobs/{id}");
    let mut view = Value::Null;
    for _ in 0..400 {
        view = world.node().caller.get(&path).await.json();
        if view["state"] == "ended" {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the job never ended: {view}");
}

#[then(expr = "the job is ended in the end, with the output {string}")]
async fn ended_with_output(world: &mut World, text: String) {
    let view = ended(world).await;
    let stdout = view["result"]["stdout"].as_str().unwrap_or_else(|| panic!("{view}"));
    assert_eq!(stdout.trim_end_matches('\n'), super::jobs::unescaped(&text), "{view}");
}

#[then(expr = "the job is ended in the end as {string}")]
async fn ended_as(world: &mut World, status: String) {
    let view = ended(world).await;
    assert_eq!(view["result"]["status"], status, "{view}");
}

#[then(expr = "the job is ended in the end with code {int}")]
async fn ended_with_code(world: &mut World, code: i64) {
    let view = ended(world).await;
    assert_eq!(view["result"]["exit_code"], code, "{view}");
}

#[then(expr = "its output was {string}")]
async fn output_was(world: &mut World, text: String) {
    assert_eq!(ended(world).await["result"]["stdout"], super::jobs::unescaped(&text));
}

#[then("the job ended by a fault of the node")]
async fn ended_by_fault(world: &mut World) {
    let view = ended(world).await;
    assert_eq!((&view["problem"]["status"], view.get("result")), (&json!(500), None), "{view}");
}

#[then("it is in the list of ended jobs")]
async fn listed(world: &mut World) {
    let list = world.node().caller.get("/v1/worker/jobs?status=ended&limit=5").await.json();
    assert_eq!(list["jobs"][0]["job_id"], world.job_id());
}

#[when(expr = "its events are read after {string}")]
async fn events_after(world: &mut World, position: String) {
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    let headers = [("last-event-id", position.as_str())];
    let answer = world.node().caller.send("GET", &path, Bytes::new(), &headers).await;
    world.answers.push(answer);
}

#[then(expr = "they hold the output {string} and the end")]
fn events_hold(world: &mut World, text: String) {
    let events = world.last().text();
    assert!(events.contains(&format!("\"text\":\"{text}\"")), "{events}");
    assert!(events.contains("event: end\n"), "{events}");
}

#[then("its events hold a heartbeat")]
async fn heartbeat(world: &mut World) {
    World::until("a heartbeat", || async { events_so_far(world).await.contains(": heartbeat") })
        .await;
}

#[when(expr = "sends it {string}")]
async fn sends(world: &mut World, text: String) {
    let path = format!("/v1/worker/jobs/{}/stdin?close=true", world.job_id());
    let answer = world.node().caller.post(&path, text).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[when(expr = "stops it once it has printed {string}")]
async fn stops(world: &mut World, text: String) {
    until_printed(world, &text).await;
    let stop = json!({"version": 1, "task_id": world.task_id, "job_id": world.job_id()});
    let answer = world.node().caller.post("/v1/worker/jobs:stop", stop.to_string()).await;
    assert_eq!(answer.json()["status"], "stopping");
}

#[when("the dispatcher stops a job that nobody knows")]
async fn stops_unknown(world: &mut World) {
    let stop = json!({"version": 1, "task_id": world.task_id, "job_id": "nobody-knows"});
    let answer = world.node().caller.post("/v1/worker/jobs:stop", stop.to_string()).await;
    world.answers.push(answer);
}

#[then("it is told that it is not running")]
fn not_running(world: &mut World) {
    assert_eq!(world.last().status, 200);
    assert_eq!(world.last().json()["status"], "not_running");
}

#[when("the orchestrator stops all")]
async fn stops_all(world: &mut World) {
    let path = "/v1/worker/admin/stop-all-orchestrator-directed";
    let answer = world.node().caller.post(path, "").await;
    assert_eq!(answer.json()["jobs_stopped"], 1);
}

#[then("its container is in the telemetry while it runs")]
async fn in_telemetry(world: &mut World) {
    until_printed(world, "begun").await;
    let path = format!("/v1/worker/telemetry/containers?job_id={}", world.job_id());
    let containers = world.node().caller.get(&path).await.json();
    assert_eq!(containers["containers"].as_array().map(Vec::len), Some(1), "{containers}");
    assert_eq!(containers["containers"][0]["status"], "running");
}
