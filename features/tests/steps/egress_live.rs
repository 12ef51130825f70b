//! Rules that change under a running job: what it holds open, and what it is answered then.

use super::{
    egress::{outside, rules},
    providers,
};
use crate::{
    node::ADMIN_TOKEN,
    world::{PYTHON, World},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};

/// Holds an idle tunnel until it is cut, tells how a new one is refused, and waits for one that works.
const HOLD: &str = "import os, socket, ssl, time
target = os.environ['TARGET']
def connect():
    s = socket.create_connection(('127.0.0.1', 11434))
    s.sendall(f'CONNECT {target} HTTP/1.1\\r\\nhost: {target}\\r\\n\\r\\n'.encode())
    return s, s.recv(65536).decode()
def ask(s):
    tunnel = ssl._create_unverified_context().wrap_socket(s, server_hostname='allowed.test')
    tunnel.sendall(b'GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n')
    said = b''
    while b'forward-proxy-ok' not in said:
        said += tunnel.recv(65536)
    return tunnel
tunnel = ask(connect()[0])
print('it is open', flush=True)
try:
    tunnel.recv(1)
except OSError:
    pass
s, said = connect()
print('it was cut, and then:', said, flush=True)
while not said.startswith('HTTP/1.1 200'):
    time.sleep(0.05)
    try:
        s, said = connect()
    except OSError:
        pass
ask(s)
print('a new one works', flush=True)
time.sleep(600)";

/// Reads an answer for as long as it goes on, and tells how it ended and what a new request gets.
const READ: &str = "import http.client, os
target = os.environ['TARGET']
def ask(path):
    connection = http.client.HTTPConnection('127.0.0.1', 11434)
    connection.request('GET', f'http://{target}{path}', headers={'host': target})
    return connection.getresponse()
answer = ask('/endless')
assert answer.status == 200 and answer.read(16) == b'forward-proxy-ok'
print('it has begun', flush=True)
try:
    answer.read()
    print('it seems whole', flush=True)
except (http.client.IncompleteRead, OSError) as fault:
    print('it was broken off:', type(fault).__name__, flush=True)
answer = ask('/')
print('then:', answer.status, answer.read().decode(), flush=True)";

const CONNECT: &str = "import os, socket
target = os.environ['TARGET']
s = socket.create_connection(('127.0.0.1', 11434))
s.sendall(f'CONNECT {target} HTTP/1.1\\r\\nhost: {target}\\r\\n\\r\\n'.encode())
print(s.recv(65536).decode().split(' ')[1])";

fn target(world: &World) -> String {
    format!("allowed.test:{}", outside(world).tls_port)
}

async fn hold(world: &mut World, more: Value) {
    run(world, HOLD, &target(world), more).await;
    let said = told(world, "it is open").await;
    assert!(said.contains("it is open"), "{said}");
}

async fn run(world: &mut World, code: &str, target: &str, more: Value) {
    let mut sandbox = json!({"image": PYTHON, "command": ["python3", "-c", code],
                             "network_policy": "restricted", "env": {"TARGET": target}});
    sandbox.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("fields"));
    submit(world, sandbox).await;
}

async fn submit(world: &mut World, sandbox: Value) {
    let job = world.job(sandbox);
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let names = [("JOB", world.job_id()), ("SESSION", format!("{}-s", world.task_id))];
    world.operator.names.extend(names.map(|(word, name)| (word.to_owned(), name)));
    let path = world.folder.path().join("rules.json");
    std::fs::write(&path, rules(outside(world)).to_string()).expect("written");
    world.operator.names.push(("RULES".to_owned(), path.display().to_string()));
}

/// What the job has printed, once this is in it.
async fn told(world: &World, text: &str) -> String {
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    world.node().caller.get_until(&path, text).await
}

#[given("a job that holds a tunnel to the server")]
async fn holds(world: &mut World) {
    let egress = rules(outside(world));
    hold(world, json!({"egress": egress})).await;
}

#[given("a job that reads an endless answer of the server")]
async fn reads(world: &mut World) {
    let (egress, target) =
        (rules(outside(world)), format!("allowed.test:{}", outside(world).plain_port));
    run(world, READ, &target, json!({"egress": egress})).await;
    let said = told(world, "it has begun").await;
    assert!(said.contains("it has begun"), "{said}");
}

#[then(
    expr = "it knows that it has not the whole answer, and a new request is refused with {string}"
)]
async fn is_broken_off(world: &mut World, reason: String) {
    let said = told(world, &reason).await;
    assert!(said.contains("it was broken off: ") && !said.contains("it seems whole"), "{said}");
    assert!(said.contains("then: 403 ") && said.contains(&reason), "{said}");
}

#[given(expr = "a job with the policy {string} that holds a tunnel to the server")]
async fn holds_by_policy(world: &mut World, policy: String) {
    hold(world, json!({"egress_policy": policy})).await;
}

#[given("a job without network that goes on running")]
async fn without_network(world: &mut World) {
    submit(world, json!({"image": PYTHON, "command": ["sleep", "600"]})).await;
    let path = format!("/v1/worker/jobs/{}", world.job_id());
    World::until("the job runs", || async {
        world.node().caller.get(&path).await.json()["state"] == "running"
    })
    .await;
}

#[when(expr = "the operator takes the server out of the policy {string}, and types {string}")]
async fn takes_out(world: &mut World, policy: String, line: String) {
    let path = world.folder.path().join("policies.json");
    std::fs::write(&path, json!({policy: {"version": 1, "rules": []}}).to_string())
        .expect("written");
    providers::types(world, line).await;
}

#[then(expr = "its tunnel is cut, and a new one is refused with {string}")]
async fn is_cut(world: &mut World, reason: String) {
    let said = told(world, &reason).await;
    assert!(said.contains("it was cut, and then: HTTP/1.1 403 "), "{said}");
    assert!(said.contains(&reason), "{said}");
}

#[then("a new tunnel works")]
async fn works(world: &mut World) {
    let said = told(world, "a new one works").await;
    assert!(said.contains("a new one works"), "{said}");
}

#[given("a session that may reach the server")]
async fn session(world: &mut World) {
    let id = format!("{}-s", world.task_id);
    let sandbox = json!({"image": PYTHON, "network_policy": "restricted",
                         "egress": rules(outside(world)), "env": {"TARGET": target(world)}});
    let body =
        json!({"version": 1, "task_id": world.task_id, "session_id": id, "sandbox": sandbox});
    let answer = world.node().caller.post("/v1/worker/sessions", body.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    world.operator.names.push(("SESSION".to_owned(), id));
}

#[when("the session asks for a tunnel to the server")]
async fn session_asks(world: &mut World) {
    let path = format!("/v1/worker/sessions/{}-s/exec", world.task_id);
    let body = json!({"version": 1, "command": ["python3", "-c", CONNECT]});
    let answer = world.node().caller.post(&path, body.to_string()).await;
    world.answers.push(answer);
}

#[then(expr = "the gate's answer is {string}")]
fn is_answered(world: &mut World, status: String) {
    let result = world.last().json();
    assert_eq!(result["stdout"], format!("{status}\n"), "{result}");
}

pub(super) fn admin(world: &mut World) {
    world.settings.push(("WORKER_API_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned()));
}
