//! Inference: a node with an upstream, jobs that use it, and what the upstream saw of them.

use super::watch::ended;
use crate::{
    dev_model::DevModel,
    world::{BASE, World, podman},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

pub(super) const CURL_IMAGE: &str = "localhost/pinfold/sdk-python:latest";

/// What the node may offer: each name but one of the dev model's.
const MODELS: &str = "dev,small=dev,long-5000,long-100000,fail-429,fail-500,fail-529,fail-bytes,fail-cut,\
                      fail-error-in-200,fail-gzip,fail-huge,fail-malformed,fail-redirect,fail-reset,\
                      fail-silent,fail-slow-headers,fail-stall";

#[given("a node with inference")]
async fn node_with_inference(world: &mut World) {
    let model = DevModel::start().await;
    for (name, value) in [
        ("OLLAMA_UPSTREAM_URL", format!("http://{}", model.address())),
        ("INFERENCE_MODELS", format!("{MODELS},dev-other")),
        ("INFERENCE_FIRST_BYTE_MS", "2000".to_owned()),
        ("INFERENCE_IDLE_MS", "2000".to_owned()),
    ] {
        world.settings.push((name.to_owned(), value));
    }
    world.model = Some(model);
    world.start().await;
}

async fn restart_with(world: &mut World, name: &str, value: &str) {
    world.node.take().expect("a node").stop().await;
    world.settings.push((name.to_owned(), value.to_owned()));
    world.start().await;
}

#[given("the node's inference proxy is an image that is not there")]
async fn no_image(world: &mut World) {
    restart_with(world, "INFERENCE_PROXY_IMAGE", "localhost/pinfold/no-such-proxy:latest").await;
}

#[given("the node's inference proxy is an image that is no proxy")]
async fn no_proxy(world: &mut World) {
    restart_with(world, "INFERENCE_PROXY_IMAGE", BASE).await;
}

#[given("the node keeps 1 sandbox with inference waiting")]
async fn keeps_waiting(world: &mut World) {
    let shapes = json!([{"image": CURL_IMAGE, "use_inference": true, "min": 1}]);
    world.settings.push(("POOL_MAX".to_owned(), "1".to_owned()));
    world.settings.push(("POOL_MIN".to_owned(), "0".to_owned()));
    restart_with(world, "POOL_SHAPES", &shapes.to_string()).await;
    World::until("a sandbox waits", || async {
        world.node().caller.get("/v1/worker/pool").await.json()["ready"] == 1
    })
    .await;
}

pub(super) async fn run(world: &mut World, script: &str, more: Value) {
    let mut sandbox = json!({"use_inference": true});
    let fields = sandbox.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    let job = world.script(script, sandbox);
    world.run(job).await;
}

/// A job that is not waited for.
async fn submit(world: &mut World, script: &str) {
    let job = world.script(script, json!({"use_inference": true}));
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

pub(super) async fn upstream(world: &World) -> Value {
    world.model.as_ref().expect("an upstream").stats().await
}

#[when(expr = "a job with inference runs {string}")]
async fn job_runs(world: &mut World, script: String) {
    run(world, &script, json!({})).await;
}

#[then("its network is loopback only")]
fn loopback_only(world: &mut World) {
    let stdout = world.last().json()["stdout"].as_str().expect("output").to_owned();
    let interfaces = stdout.lines().filter_map(|line| line.trim().split_once(": "));
    let names: Vec<&str> =
        interfaces.map(|(name, _)| name).filter(|name| !name.contains(' ')).collect();
    assert_eq!(names, ["lo"], "{stdout}");
}

#[then(expr = "its environment names no proxy but {string}")]
fn no_proxy_variable(world: &mut World, allowed: String) {
    let stdout = world.last().json()["stdout"].as_str().expect("output").to_owned();
    let variables = stdout.lines().filter_map(|line| line.split_once('='));
    for (name, _) in variables {
        assert_eq!(name, allowed, "{stdout}");
    }
}

#[when(expr = "a job with curl asks {string} and the socket of INFERENCE_PROXY_URL")]
async fn asks_socket(world: &mut World, url: String) {
    let script = format!(
        "curl -s \"{url}\"; path=$(python3 -c 'import os, urllib.parse as u; \
         print(u.unquote(os.environ[\"INFERENCE_PROXY_URL\"][12:]))'); \
         curl -s --unix-socket \"$path\" http://localhost/healthz"
    );
    run(world, &script, json!({"image": CURL_IMAGE})).await;
}

#[when("a job with inference tries the upstream's own address")]
async fn tries_upstream(world: &mut World) {
    let address = world.model.as_ref().expect("an upstream").address();
    run(world, &format!("exec wget -T 5 -qO- http://{address}/api/tags"), json!({})).await;
}

#[when("a job with inference tries the host's loopback")]
async fn tries_host(world: &mut World) {
    // No packet is sent: this asks the routing table which address the host itself has.
    let address = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let host = address.map_or("127.0.0.1".to_owned(), |address| address.ip().to_string());
    let node = world.node().caller.address.port();
    let script = format!(
        "wget -T 5 -qO- http://{host}:{node}/healthz || exec wget -T 5 -qO- http://127.0.0.1:{node}/healthz"
    );
    run(world, &script, json!({})).await;
}

#[when("a job with inference tries a name of the internet")]
async fn tries_name(world: &mut World) {
    run(world, "exec wget -T 5 -qO- http://example.com/", json!({})).await;
}

#[when("a job with inference tries the gate's socket")]
async fn tries_gate(world: &mut World) {
    let script = "find / -xdev -name 'gate*' -type s 2>/dev/null | grep . \
                  || grep gate.sock /proc/mounts /proc/net/unix || ls /run/gate";
    run(world, script, json!({})).await;
}

#[then("it fails at once")]
fn fails_at_once(world: &mut World) {
    let result = world.last().json();
    assert_eq!(result["status"], "failed", "{result}");
    assert_eq!(result["stdout"], "", "{result}");
    super::egress::ended_at_once(world);
}

/// A shell function: the status of a call to a path.
const STATUS: &str = "status() { curl -s -o /dev/null -w '%{http_code} ' --path-as-is \
     -H 'content-type: application/json' -d \"$2\" \"$OLLAMA_BASE_URL$1\"; }; ";

#[when(expr = "a job with inference posts to {string}")]
async fn posts_to(world: &mut World, path: String) {
    let script = format!("{STATUS} status '{path}' '{{\"model\":\"dev\"}}'");
    run(world, &script, json!({"image": CURL_IMAGE})).await;
}

pub(super) fn chat(model: &str) -> String {
    json!({"model": model, "stream": false, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
}

#[when(expr = "a job that may use the model {string} asks for the model {string}")]
async fn other_model(world: &mut World, own: String, other: String) {
    let script = format!("{STATUS} status /api/chat '{}'", chat(&other));
    run(world, &script, json!({"image": CURL_IMAGE, "inference": {"models": [own]}})).await;
}

#[when(expr = "a job that may make {int} calls makes {int}")]
async fn budget(world: &mut World, may: u64, makes: u64) {
    let call = format!("status /api/chat '{}'; ", chat("dev"));
    let script = format!("{STATUS} {}", call.repeat(makes as usize));
    let inference = json!({"budget": {"max_requests": may}});
    run(world, &script, json!({"image": CURL_IMAGE, "inference": inference})).await;
}

#[then(regex = "^the gate answers it with ([0-9, and]+)$")]
fn gate_answers(world: &mut World, statuses: String) {
    let expected: Vec<&str> = statuses.split([',', ' ']).filter(|word| word.len() == 3).collect();
    let expected: Vec<&str> = expected.into_iter().filter(|word| *word != "and").collect();
    let result = world.last().json();
    let stdout = result["stdout"].as_str().expect("output");
    assert_eq!(stdout.split_whitespace().collect::<Vec<_>>(), expected, "{result}");
}

#[then("the upstream has heard nothing")]
async fn heard_nothing(world: &mut World) {
    let stats = upstream(world).await;
    assert_eq!(stats["requests"], 0, "{stats}");
}

#[then(expr = "its result counts {int} calls and {int} refusal")]
fn counts(world: &mut World, calls: u64, refusals: u64) {
    let usage = world.last().json()["inference"].clone();
    assert_eq!((&usage["requests"], &usage["refused"]), (&json!(calls), &json!(refusals)));
    assert!(usage["input_tokens"].as_u64() > Some(0), "{usage}");
    assert!(usage["output_tokens"].as_u64() > Some(0), "{usage}");
    assert_eq!((&usage["unfinished"], &usage["estimated"]), (&json!(0), &json!(0)), "{usage}");
}

#[given("a job that listens to a stream without end")]
async fn listens(world: &mut World) {
    let body = json!({"model": "long-100000", "prompt": "go on"});
    let script = format!(
        "exec wget -qO- --header 'content-type: application/json' --post-data '{body}' \
         $OLLAMA_BASE_URL/api/generate > /dev/null"
    );
    submit(world, &script).await;
    World::until("the stream flows", || async { upstream(world).await["open"] == 1 }).await;
}

#[when("the job is stopped")]
async fn stopped(world: &mut World) {
    let path = format!("/v1/worker/jobs/{}/cancel", world.job_id());
    let answer = world.node().caller.post(&path, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[then(expr = "the upstream's call ends within {int} ms")]
async fn call_ends(world: &mut World, most: u64) {
    // The stop is a TERM first; the program's end is what the call's end is measured from.
    ended(world).await;
    let since = Instant::now();
    while upstream(world).await["open"] != 0 {
        assert!(since.elapsed() < Duration::from_millis(most), "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(upstream(world).await["aborted"], 1);
}

#[when("a job begins a thousand streams and breaks each off")]
async fn thousand(world: &mut World) {
    let body = json!({"model": "long-5000", "prompt": "go on"}).to_string();
    let program = format!(
        "import socket\n\
         body = {body:?}\n\
         head = 'POST /api/generate HTTP/1.1\\r\\nhost: a\\r\\ncontent-type: application/json\\r\\n'\n\
         for n in range(1000):\n\
         \x20   s = socket.create_connection(('127.0.0.1', 11434))\n\
         \x20   s.sendall((head + f'content-length: {{len(body)}}\\r\\n\\r\\n' + body).encode())\n\
         \x20   assert s.recv(4096).startswith(b'HTTP/1.1 200 '), n\n\
         \x20   s.close()\n\
         print('done')"
    );
    let sandbox = json!({"image": CURL_IMAGE, "command": ["python3", "-c", program],
                         "use_inference": true});
    let job = world.job(sandbox);
    let result = world.run(job).await.json();
    assert_eq!(result["stdout"], "done\n", "{result}");
    let usage = &result["inference"];
    assert_eq!((&usage["requests"], &usage["unfinished"]), (&json!(1000), &json!(1000)));
}

#[then("the upstream has no call open")]
async fn none_open(world: &mut World) {
    World::until("all calls ended", || async { upstream(world).await["open"] == 0 }).await;
    assert_eq!(upstream(world).await["aborted"], 1000);
}

#[then("the node has no call open")]
async fn no_call(world: &mut World) {
    let metrics = world.node().caller.get("/metrics").await.text();
    let open = metrics.lines().find(|line| line.starts_with("pinfold_gate_calls_open "));
    assert_eq!(open, Some("pinfold_gate_calls_open 0"));
}

#[when("its sidecar is killed")]
async fn sidecar_killed(world: &mut World) {
    podman(&["kill", &sidecar(world).await]).await;
}

async fn sidecar(world: &World) -> String {
    let listed = world.containers().await;
    let inspect = "{{index .Config.Labels \"io.pinfold.sandbox\"}}";
    let id = podman(&["inspect", "--format", inspect, &listed[0]]).await;
    format!("pinfold-{id}-proxy")
}

#[then("its sidecar can write no file")]
async fn no_file(world: &mut World) {
    let name = sidecar(world).await;
    let pid = podman(&["inspect", "--format", "{{.State.Pid}}", &name]).await;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("a process");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file size"));
    let values: Vec<_> = line.expect("a limit").split_whitespace().collect();
    assert_eq!(values, ["0", "0", "bytes"]);
}

#[then(expr = "the job ended by a fault of the node in the phase {string}")]
async fn fault_in_phase(world: &mut World, phase: String) {
    let view = ended(world).await;
    assert_eq!((&view["problem"]["status"], view.get("result")), (&json!(500), None), "{view}");
    assert_eq!(view["problem"]["phase"], phase, "{view}");
}

#[then(expr = "it failed in the phase {string} or {string}")]
fn failed_in_phase(world: &mut World, one: String, other: String) {
    let problem = world.last().json();
    assert_eq!(world.last().status, 500, "{problem}");
    assert!(problem["phase"] == one || problem["phase"] == other, "{problem}");
}

#[then("the job was served from the pool")]
fn from_pool(world: &mut World) {
    let result = world.last().json();
    assert_eq!(result["timings"]["warm"], true, "{result}");
}

#[given("a job that calls before and after a pause")]
async fn calls_twice(world: &mut World) {
    let ask = format!(
        "wget -qO- --header 'content-type: application/json' --post-data '{}' \
         $OLLAMA_BASE_URL/api/chat | grep -c '\"done\":true'",
        chat("dev")
    );
    submit(world, &format!("{ask}; sleep 4; {ask}")).await;
    World::until("the first call", || async { upstream(world).await["requests"] == 1 }).await;
}

#[when("the node is killed and started again in the pause")]
async fn killed_in_pause(world: &mut World) {
    World::until("the call is over", || async { upstream(world).await["open"] == 0 }).await;
    world.node.take().expect("a node").kill().await;
    world.start().await;
}

#[then("the job ended with both calls answered")]
async fn both_answered(world: &mut World) {
    let view = ended(world).await;
    assert_eq!(view["result"]["stdout"], "1\n1\n", "{view}");
}
