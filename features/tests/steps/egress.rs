//! Egress: a server outside, jobs whose rules name it, and what it has heard of them.

use super::egress_live;
use crate::{
    outside::{Outside, USUAL_TLS_PORT, WORDS},
    world::World,
};
use cucumber::{given, then, when};
use serde_json::{Value, json};

pub(super) const IMAGE: &str = "localhost/pinfold/sdk-python:latest";

/// Says its argument to the gate as it stands, and prints what comes back.
const SAY: &str = "import os, socket, sys
s = socket.create_connection(('127.0.0.1', 11434))
s.settimeout(5)
s.sendall(os.environ['SAID'].encode())
said = b''
while True:
    piece = s.recv(65536)
    if not piece:
        break
    said += piece
sys.stdout.write(said.decode())";

/// Opens a tunnel, sends what is no hello to its host, and prints how it ended.
const TUNNEL: &str = "import os, socket, ssl, sys
s = socket.create_connection(('127.0.0.1', 11434))
s.settimeout(5)
target = os.environ['TARGET']
s.sendall(f'CONNECT {target} HTTP/1.1\\r\\nhost: {target}\\r\\n\\r\\n'.encode())
assert s.recv(4096).startswith(b'HTTP/1.1 200 ')
try:
    if sys.argv[1] == 'what is no TLS':
        s.sendall(b'SSH-2.0-client\\r\\n')
        print('closed' if s.recv(4096) == b'' else 'open')
    else:
        context = ssl._create_unverified_context()
        name = 'other.test' if sys.argv[1] == 'a hello to another name' else None
        context.wrap_socket(s, server_hostname=name)
        print('open')
except (ssl.SSLError, ConnectionError):
    print('closed')";

/// Every way past the gate that a program can think of; each prints how it went.
const PAST: &str = "import os, socket
def tried(attempt):
    try:
        attempt()
        print('open')
    except OSError as error:
        print('timeout' if isinstance(error, TimeoutError) else 'closed')
address, port = os.environ['ADDRESS'], int(os.environ['PORT'])
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.sendto(b'\\x00\\x01\\x01\\x00\\x00\\x01' + b'\\x00' * 12, (address, 53))
    s.recv(512)
tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
tried(lambda: socket.create_connection((address, port), 3))
tried(lambda: socket.create_connection(('169.254.169.254', 80), 3))
tried(lambda: socket.create_connection(('fd00::1', 80), 3))
tried(udp)
tried(lambda: socket.create_connection(('allowed.test', port), 3))
tried(lambda: socket.getaddrinfo('other.test', 443))
tried(lambda: socket.getaddrinfo('example.com', 443))";

const FETCH: &str = "import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())";

pub(super) fn outside(world: &World) -> &Outside {
    world.outside.as_ref().expect("a server outside")
}

#[given("a node, and a server outside")]
async fn node_and_server(world: &mut World) {
    let server = Outside::start().await;
    let address = server.address;
    let hosts = format!(
        "allowed.test={address},other.test={address},inside.test=10.9.9.9,public.test=93.184.216.34"
    );
    world.settings.push(("EGRESS_HOSTS".to_owned(), hosts));
    egress_live::admin(world);
    world.outside = Some(server);
    world.start().await;
}

async fn restart_with(world: &mut World, name: &str, value: String) {
    world.node.take().expect("a node").stop().await;
    world.settings.push((name.to_owned(), value));
    world.start().await;
}

#[given(expr = "the node lets a job receive {int} bytes")]
async fn bounded(world: &mut World, bytes: u64) {
    restart_with(world, "EGRESS_MAX_BYTES_IN", bytes.to_string()).await;
}

#[given(expr = "the node has the policy {string} that allows the server")]
async fn has_policy(world: &mut World, name: String) {
    let path = world.folder.path().join("policies.json");
    let policies = json!({name: {"version": 1, "rules": rules(outside(world))}});
    std::fs::write(&path, policies.to_string()).expect("written");
    restart_with(world, "EGRESS_POLICIES", path.display().to_string()).await;
}

pub(super) fn rules(server: &Outside) -> Value {
    let address = server.address.to_string();
    json!([
        {"host": "allowed.test", "ports": [server.tls_port, server.plain_port, USUAL_TLS_PORT],
         "allowed_ips": [address]},
        {"host": "inside.test", "ports": [server.tls_port], "allowed_ips": [address]},
        {"host": "public.test", "ports": [80], "allowed_ips": ["93.184.0.0/16"]},
        {"host": "tls-only.test"},
    ])
}

/// With the server's ports and address in their places.
fn filled(world: &World, text: &str) -> String {
    let server = outside(world);
    text.replace(":TLS", &format!(":{}", server.tls_port))
        .replace(":PLAIN", &format!(":{}", server.plain_port))
        .replace("ADDRESS", &server.address.to_string())
}

/// A job of the Python image, with the rules unless it brings its own fields.
pub(super) async fn run(world: &mut World, command: &[&str], env: Value, more: Option<Value>) {
    let more = more.unwrap_or_else(
        || json!({"network_policy": "restricted", "egress": rules(outside(world))}),
    );
    let mut sandbox = json!({"image": IMAGE, "command": command, "env": env});
    let fields = sandbox.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().expect("fields"));
    let job = world.job(sandbox);
    world.run(job).await;
}

async fn client(world: &mut World, name: &str, more: Option<Value>) {
    let url = match name.ends_with("TLS") {
        true => filled(world, "https://allowed.test:TLS/"),
        false => filled(world, "http://allowed.test:PLAIN/"),
    };
    let env = json!({"CA": outside(world).authority, "SSL_CERT_FILE": "/tmp/ca.pem"});
    let client = match name.starts_with("curl") {
        true => format!("curl -sS --max-time 10 --cacert /tmp/ca.pem {url}"),
        false => format!("python3 -c '{FETCH}' {url}"),
    };
    let script = format!("printf %s \"$CA\" > /tmp/ca.pem; exec {client}");
    run(world, &["sh", "-c", &script], env, more).await;
}

#[when(regex = "^a job that may reach the server runs (.*)$")]
async fn runs_client(world: &mut World, name: String) {
    client(world, &name, None).await;
}

#[when("a job whose rule is the server's address runs curl to it")]
async fn by_address(world: &mut World) {
    let (address, port) = (outside(world).address.to_string(), outside(world).plain_port);
    let rule = json!({"host": address, "ports": [port], "allowed_ips": [address]});
    let more = json!({"network_policy": "restricted", "egress": [rule]});
    let url = format!("http://{address}:{port}/");
    run(world, &["curl", "-sS", "--max-time", "10", &url], json!({}), Some(more)).await;
}

#[when(expr = "a job with the policy {string} runs curl over TLS")]
async fn runs_by_policy(world: &mut World, policy: String) {
    let more = json!({"network_policy": "restricted", "egress_policy": policy});
    client(world, "curl over TLS", Some(more)).await;
}

#[when(expr = "a job has the rule {string}")]
async fn has_rule(world: &mut World, host: String) {
    let more = json!({"network_policy": "restricted", "egress": [{"host": host}]});
    run(world, &["true"], json!({}), Some(more)).await;
}

#[when("a job has rules and no network")]
async fn has_no_network(world: &mut World) {
    let more = json!({"network_policy": "none", "egress": rules(outside(world))});
    run(world, &["true"], json!({}), Some(more)).await;
}

/// Says these bytes to the gate.
async fn say(world: &mut World, said: &str) {
    run(world, &["python3", "-c", SAY], json!({"SAID": said}), None).await;
}

#[when(expr = "a job that may reach the server asks {string}")]
async fn asks(world: &mut World, request: String) {
    let request = filled(world, &request);
    let target = request.split(' ').nth(1).expect("a target");
    let authority = target.split_once("://").map_or(target, |(_, rest)| rest);
    let host = authority.split('/').next().expect("a host");
    say(world, &format!("{request} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
}

#[when("a job sends two requests in one piece, the second to another host")]
async fn two_requests(world: &mut World) {
    let one = |host: &str, end: &str| {
        format!("GET http://{host}:PLAIN/ HTTP/1.1\r\nhost: {host}:PLAIN\r\n{end}\r\n")
    };
    let both = one("allowed.test", "") + &one("other.test", "connection: close\r\n");
    let both = filled(world, &both);
    say(world, &both).await;
}

#[when("a job sends a plain request with headers that end at a proxy")]
async fn headers_end(world: &mut World) {
    let request = "GET http://ALLOWED.test:PLAIN/ HTTP/1.1\r\nhost: Allowed.Test.:PLAIN\r\n\
                   connection: close, X-Nominated\r\nx-nominated: 1\r\nkeep-alive: 1\r\n\
                   proxy-authorization: Basic YTpi\r\nproxy-connection: close\r\n\r\n";
    let request = filled(world, request);
    say(world, &request).await;
}

#[when("a job sends a plain request whose host is another")]
async fn host_differs(world: &mut World) {
    let request = "GET http://allowed.test:PLAIN/ HTTP/1.1\r\nhost: other.test:PLAIN\r\n\
                   connection: close\r\n\r\n";
    let request = filled(world, request);
    say(world, &request).await;
}

#[when("a job fetches from the server until it is refused")]
async fn until_refused(world: &mut World) {
    let script = filled(
        world,
        "for n in $(seq 1000); do curl -s -w ' %{http_code}\\n' http://allowed.test:PLAIN/ \
         > /tmp/said; grep -q ' 200$' /tmp/said || break; done; cat /tmp/said",
    );
    run(world, &["sh", "-c", &script], json!({}), None).await;
}

#[when(regex = "^a job opens a tunnel to the server and sends (.*)$")]
async fn opens_tunnel(world: &mut World, what: String) {
    let env = json!({"TARGET": filled(world, "allowed.test:TLS")});
    run(world, &["python3", "-c", TUNNEL, &what], env, None).await;
}

#[when(regex = "^a job with (.*) tries a raw socket, a direct connection and names of its own$")]
async fn tries_past(world: &mut World, policy: String) {
    let server = outside(world);
    let env = json!({"ADDRESS": server.address, "PORT": server.plain_port.to_string()});
    let more = match policy.as_str() {
        "no network" => Some(json!({"network_policy": "none"})),
        "restricted and no rules" => Some(json!({"network_policy": "restricted"})),
        _ => None,
    };
    run(world, &["python3", "-c", PAST], env, more).await;
}

fn stdout(world: &World) -> String {
    let result = world.last().json();
    result["stdout"].as_str().unwrap_or_else(|| panic!("no output: {result}")).to_owned()
}

#[then("it reads what the server says")]
fn reads(world: &mut World) {
    assert_eq!(stdout(world), WORDS, "{}", world.last().text());
}

#[then(expr = "the result counts {int} allowed and {int} refused fetches")]
fn counted(world: &mut World, allowed: u64, refused: u64) {
    let usage = world.last().json()["egress"].clone();
    assert_eq!((&usage["allowed"], &usage["refused"]), (&json!(allowed), &json!(refused)));
    let moved = |field: &str| usage[field].as_u64();
    assert!(moved("bytes_out") > Some(20) && moved("bytes_in") >= Some(16), "{usage}");
}

/// Nothing was waited for. The programs of these scenarios wait for three seconds and longer, if they do, and so does
/// their resolver; a busy machine takes one to start them.
pub(super) fn ended_at_once(world: &World) {
    let took = world.last().json()["usage"]["wall_ms"].as_u64();
    assert!(took < Some(2500), "it took {took:?} ms");
}

#[then(expr = "the gate refuses it with {int} and {string}")]
fn refuses(world: &mut World, status: u16, reason: String) {
    let said = stdout(world);
    assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
    assert!(said.contains(&format!("\"{reason}\"")), "{said}");
    ended_at_once(world);
}

#[then("the server outside has heard nothing")]
fn heard_nothing(world: &mut World) {
    assert_eq!(outside(world).connections(), 0);
}

#[then("the server outside has heard 1 request")]
fn heard_one(world: &mut World) {
    let heads = outside(world).heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
}

#[then("the tunnel is closed at once")]
fn closed(world: &mut World) {
    assert_eq!(stdout(world), "closed\n", "{}", world.last().text());
    ended_at_once(world);
}

#[then("the answers are 200 and 403")]
fn two_answers(world: &mut World) {
    let said = stdout(world);
    let statuses: Vec<&str> =
        said.match_indices("HTTP/1.1 ").map(|(at, _)| &said[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "403"], "{said}");
}

#[then(expr = "the server has the canonical host and a {string} header")]
fn made_anew(world: &mut World, name: String) {
    let heads = outside(world).heads();
    let head = heads.first().expect("a request").to_lowercase();
    let host = filled(world, "host: allowed.test:PLAIN\r\n");
    assert!(head.starts_with("get / http/1.1\r\n"), "{head}");
    assert_eq!(head.matches("\nhost:").count(), 1, "{head}");
    assert!(head.contains(&host), "{head}");
    assert!(head.contains(&format!("\n{name}: 1.1 pinfold")), "{head}");
    assert!(head.contains("\nconnection: close\r\n"), "{head}");
}

#[then(expr = "none of {string} has reached it")]
fn not_reached(world: &mut World, names: String) {
    let heads = outside(world).heads();
    let head = heads.first().expect("a request").to_lowercase();
    for name in names.split(", ") {
        assert!(!head.contains(&format!("\n{name}:")), "{head}");
    }
}

async fn audit(world: &World, words: &[&str]) {
    let (log, job) = (world.folder.path().join("node.log"), world.job_id());
    World::until("the audit has the line", || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| {
            line.contains(&job) && line.contains("egress") && words.iter().all(|w| line.contains(w))
        })
    })
    .await;
}

#[then(expr = "the audit has a line of this job with {string}, the target and the address")]
async fn audit_allows(world: &mut World, decision: String) {
    let address = outside(world).address.to_string();
    audit(world, &[&decision, &filled(world, "allowed.test:PLAIN"), &address]).await;
}

#[then(expr = "the audit has a line of this job with {string} and {string}")]
async fn audit_has(world: &mut World, one: String, other: String) {
    audit(world, &[&one, &other]).await;
}

#[then("all of them fail at once")]
fn all_fail(world: &mut World) {
    assert_eq!(stdout(world), "closed\n".repeat(9), "{}", world.last().text());
    ended_at_once(world);
    assert_eq!(outside(world).connections(), 0);
}

#[then(expr = "its last answer is {int} and {string}")]
fn last_answer(world: &mut World, status: u16, reason: String) {
    let said = stdout(world);
    assert!(said.ends_with(&format!(" {status}\n")), "{said}");
    assert!(said.contains(&reason), "{said}");
}
