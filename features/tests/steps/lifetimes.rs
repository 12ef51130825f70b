//! How long sessions live, and what they do while nobody asks for them.

use super::kernels::{open_with, session, start_with};
use crate::world::{World, podman};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

#[given(expr = "a Python session that may live {int} second(s)")]
async fn living(world: &mut World, seconds: u64) {
    open_with(world, json!({"lang": "python", "lifetime_seconds": seconds})).await;
}

#[given(expr = "a Python session that may idle {int} second(s)")]
async fn idling(world: &mut World, seconds: u64) {
    open_with(world, json!({"lang": "python", "idle_seconds": seconds})).await;
}

#[given(expr = "a Python session that may idle {int} seconds and works in the background")]
async fn working(world: &mut World, seconds: u64) {
    let open = json!({"lang": "python", "idle_seconds": seconds, "background": true});
    open_with(world, open).await;
}

#[given(expr = "a node whose sessions live {int} seconds at most")]
async fn short_lived(world: &mut World, seconds: u64) {
    start_with(world, "SESSION_LIFETIME_SECONDS", seconds.to_string()).await;
}

#[given(expr = "a node that freezes sessions after {int} second")]
async fn freezing(world: &mut World, seconds: u64) {
    start_with(world, "SESSION_FREEZE_AFTER_SECONDS", seconds.to_string()).await;
}

async fn detail(world: &World) -> Value {
    let answer = world.node().caller.get(&session(world)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub(super) fn moment(value: &Value) -> OffsetDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("a time: {value}"));
    OffsetDateTime::parse(text, &Rfc3339).expect("a time as RFC 3339 has it")
}

async fn renew(world: &World, request: Value) -> Value {
    let path = format!("{}/renew", session(world));
    let answer = world.node().caller.post(&path, request.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[when(expr = "it is renewed for {int} seconds")]
async fn renewed(world: &mut World, seconds: u64) {
    let told = renew(world, json!({"lifetime_seconds": seconds})).await;
    assert_eq!(told["expires_at"], detail(world).await["expires_at"]);
}

#[when(expr = "it is renewed for {int} seconds again and again")]
async fn renewed_until_refused(world: &mut World, seconds: u64) {
    let path = format!("{}/renew", session(world));
    let request = json!({"lifetime_seconds": seconds}).to_string();
    World::until("a renewal comes too late", || async {
        world.node().caller.post(&path, request.clone()).await.status == 410
    })
    .await;
}

#[when(expr = "it is renewed again and again for {int} seconds")]
async fn renewed_often(world: &mut World, seconds: u64) {
    let began = Instant::now();
    World::until("the time is over", || async {
        renew(world, json!({})).await;
        began.elapsed() >= Duration::from_secs(seconds)
    })
    .await;
}

#[then(expr = "it expires {int} seconds from now")]
async fn expires(world: &mut World, seconds: i64) {
    let left = moment(&detail(world).await["expires_at"]) - OffsetDateTime::now_utc();
    let late = seconds - left.whole_seconds();
    assert!((0..20).contains(&late), "{left}");
}

#[then(expr = "it is not idle for {int} seconds")]
async fn not_idle(world: &mut World, seconds: i64) {
    let until = OffsetDateTime::now_utc() + Duration::from_secs(seconds as u64);
    // Asking for it is no activity.
    World::until("its work has moved its end", || async {
        moment(&detail(world).await["idle_at"]) > until
    })
    .await;
}

#[then(expr = "it ends as {string} and says so to whoever asks for more")]
async fn ends_as(world: &mut World, why: String) {
    let path = session(world);
    World::until("the session ends", || async {
        world.node().caller.get(&path).await.json()["status"] == "ended"
    })
    .await;
    let told = detail(world).await;
    assert_eq!(told["ended"], why, "{told}");
    let ended_at = moment(&told["ended_at"]);
    assert!(ended_at <= OffsetDateTime::now_utc() && ended_at > moment(&told["created_at"]));
    for call in ["execute", "renew", "interrupt", "restart"] {
        let body = if call == "execute" { json!({"code": "1"}) } else { json!({}) };
        let answer = world.node().caller.post(&format!("{path}/{call}"), body.to_string()).await;
        let problem = answer.json();
        assert_eq!(answer.status, 410, "{call}: {problem}");
        assert_eq!((&problem["ended"], &problem["ended_at"]), (&told["ended"], &told["ended_at"]));
    }
}

async fn is_frozen(world: &World) -> bool {
    detail(world).await["status"] == "frozen"
}

#[then("it is frozen")]
async fn frozen(world: &mut World) {
    World::until("it is frozen", || async { is_frozen(world).await }).await;
}

#[then("it is frozen and its work stands still")]
async fn stands_still(world: &mut World) {
    frozen(world).await;
    let container = containers(world).await.concat();
    let used = processor(&container).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(processor(&container).await, used, "it goes on");
}

/// The containers of the scenario's node: code in sessions has no task of the scenario's.
async fn containers(world: &World) -> Vec<String> {
    let told = world.node().caller.get("/v1/worker/telemetry/containers").await.json();
    let containers = told["containers"].as_array().expect("containers").clone();
    let name = |container: &Value| {
        let id = container["labels"]["io.pinfold.sandbox"].as_str().expect("an id");
        format!("pinfold-{id}")
    };
    containers.iter().map(name).collect()
}

/// Processor time of a container's first process and of all below it, as the kernel counts it.
async fn processor(container: &str) -> String {
    let pid = podman(&["inspect", "--format", "{{.State.Pid}}", container]).await;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
    let file = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let root = Path::new("/sys/fs/cgroup").join(controllers);
        let file = if controllers.is_empty() { "cpu.stat" } else { "cpuacct.usage" };
        let counts = controllers.is_empty() || controllers.contains("cpuacct");
        let file = root.join(path.trim_start_matches('/')).join(file);
        (counts && file.exists()).then_some(file)
    });
    let text = std::fs::read_to_string(file.expect("a file that counts")).expect("a count");
    text.lines().next().expect("a line").to_owned()
}

#[when("its sandbox is killed")]
async fn killed(world: &mut World) {
    for container in containers(world).await {
        podman(&["kill", &container]).await;
    }
}

#[when("the node is killed, its sandboxes too, and the node is started again")]
async fn lost_with_host(world: &mut World) {
    let containers = containers(world).await;
    world.node.take().expect("a node").kill().await;
    for container in containers {
        podman(&["rm", "--force", "--time=0", &container]).await;
    }
    world.start().await;
}

#[when("the node loses its memory and is started again")]
async fn forgets(world: &mut World) {
    world.node.take().expect("a node").kill().await;
    let state = world.folder.path().join("state");
    let kept = std::fs::read_dir(state).expect("its state").flatten().map(|entry| entry.path());
    let store = kept.into_iter().find(|path| path.extension().is_some_and(|end| end == "db"));
    let store = rusqlite::Connection::open(store.expect("a store")).expect("it opens");
    assert_eq!(store.execute("DELETE FROM session", []).expect("deleted"), 1);
    drop(store);
    world.start().await;
}
