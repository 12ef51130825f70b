//! Terminals in sessions.

use super::kernels::session;
use crate::world::World;
use cucumber::{then, when};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

async fn open(world: &mut World) -> crate::http::Answer {
    let path = format!("{}/terminals", session(world));
    let answer = world.node().caller.post(&path, "{}").await;
    world.answers.push(answer.clone());
    answer
}

#[when("a terminal is opened in it")]
async fn opened(world: &mut World) {
    let answer = open(world).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let id = answer.json()["terminal_id"].as_str().expect("an id").to_owned();
    world.viewer.path = format!("{}/terminals/{id}", session(world));
    attach(world, "").await;
}

async fn attach(world: &mut World, query: &str) {
    let (path, caller) = (format!("{}{query}", world.viewer.path), world.node().caller.clone());
    world.viewer.attach(&caller, &path, &[]).await.expect("attached");
}

#[when(regex = r#"^"(.*)" is typed$"#)]
async fn typed(world: &mut World, text: String) {
    world.viewer.types(&format!("{text}\r")).await;
}

#[when(regex = r"^it is resized to (\d+) by (\d+)$")]
async fn resized(world: &mut World, rows: u16, cols: u16) {
    let control = json!({"resize": {"rows": rows, "cols": cols}});
    world.viewer.send(Message::text(control.to_string())).await;
}

#[when(regex = r#"^the signal "(.*)" is sent to it$"#)]
async fn signaled(world: &mut World, signal: String) {
    world.viewer.send(Message::text(json!({"signal": signal}).to_string())).await;
}

#[when("its viewer is lost")]
async fn lost(world: &mut World) {
    world.viewer.lose();
}

#[when("somebody looks at it from where that was")]
async fn again(world: &mut World) {
    attach(world, &format!("?from={}", world.viewer.at)).await;
}

#[when("somebody looks at it")]
async fn looks(world: &mut World) {
    attach(world, "").await;
}

#[when("it is ended by its id")]
async fn ended(world: &mut World) {
    let path = world.viewer.path.clone();
    let answer = world.node().caller.send("DELETE", &path, Default::default(), &[]).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[then(regex = r#"^it writes "(.*)"$"#)]
async fn writes(world: &mut World, text: String) {
    world.viewer.until(&text, |viewer| viewer.screen.contains(&text)).await;
}

#[then(regex = r#"^no more than "(.*)" is written, not "(.*)"$"#)]
async fn writes_only(world: &mut World, text: String, other: String) {
    world.viewer.until(&text, |viewer| viewer.screen.contains(&text)).await;
    assert!(!world.viewer.screen.contains(&other), "{:?}", world.viewer.screen);
}

#[then(regex = r#"^its end is told as (.*)$"#)]
async fn told(world: &mut World, end: String) {
    let end: serde_json::Value = serde_json::from_str(&end).expect("JSON");
    world.viewer.until("end", |viewer| viewer.notes.iter().any(|note| note["exit"] == end)).await;
}

#[then("a page in a browser may not look at it, and nobody without the token")]
async fn refused(world: &mut World) {
    let (path, mut caller) = (world.viewer.path.clone(), world.node().caller.clone());
    let origin = [("Origin", "http://127.0.0.1")];
    assert_eq!(world.viewer.attach(&caller, &path, &origin).await, Err(403));
    caller.token = None;
    assert_eq!(world.viewer.attach(&caller, &path, &[]).await, Err(401));
}

#[then(regex = r"^(\d+) terminals fit, and no more$")]
async fn bounded(world: &mut World, most: usize) {
    for _ in 0..most {
        assert_eq!(open(world).await.status, 201, "{}", world.last().text());
    }
    assert_eq!(open(world).await.status, 422, "{}", world.last().text());
}

#[then(regex = r"^the node does not grow by (\d+) MiB while nobody reads what it writes$")]
async fn steady(world: &mut World, most: u64) {
    let before = world.node().resident_bytes();
    let list = format!("{}/terminals", session(world));
    // Longer than a viewer that takes nothing holds the program up.
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    World::until("it goes on", || async {
        let grown = world.node().resident_bytes().saturating_sub(before);
        assert!(grown < most << 20, "it grew by {grown} bytes");
        let list = world.node().caller.get(&list).await.json();
        list["terminals"][0]["to"].as_u64() > Some(most << 20)
    })
    .await;
}
