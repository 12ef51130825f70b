//! What a person at a terminal has of it: jobs, and the prompt before a session.

use super::{jobs::unescaped, kernels::session};
use crate::{
    node::binaries,
    person::Person,
    world::{BASE, World},
};
use cucumber::{then, when};
use std::os::unix::fs::PermissionsExt;

fn person(world: &mut World) -> &mut Person {
    world.person.as_mut().expect("somebody sits there")
}

fn start(world: &mut World, words: &[&str], terminal: &[(&str, &str)]) {
    world.person = Some(Person::start(world.node(), world.folder.path(), words, terminal));
}

/// What is written, with the controls that a feature can't hold; ST ends a string of kitty's.
fn controls(text: &str) -> String {
    text.replace("ST", "\u{1b}\\").replace("ESC", "\u{1b}").replace("BEL", "\u{7}")
}

#[when("somebody opens a prompt")]
async fn opens(world: &mut World) {
    start(world, &["session"], &[]);
    person(world).sees(">>> ").await;
}

#[when(regex = r"^somebody opens a prompt in (\S+)$")]
async fn opens_in(world: &mut World, terminal: String) {
    let name = match terminal.as_str() {
        "kitty" => ("KITTY_WINDOW_ID", "1"),
        other => ("TERM_PROGRAM", other),
    };
    start(world, &["session"], &[name]);
    person(world).sees(">>> ").await;
}

#[when(regex = r#"^somebody runs "(.*)"$"#)]
async fn runs(world: &mut World, script: String) {
    start(world, &["run", BASE, "--", "sh", "-c", &script], &[]);
}

#[when("somebody opens a shell in it")]
async fn opens_shell(world: &mut World) {
    let path = session(world);
    start(world, &["session", "shell", path.trim_start_matches("/sessions/")], &[]);
    person(world).sees("Ctrl-]").await;
}

#[when(regex = r#"^they type "(.*)"$"#)]
async fn types(world: &mut World, text: String) {
    person(world).types(&(unescaped(&text).replace('\n', "\r") + "\r"));
}

#[when(regex = r"^they press Ctrl-(.)$")]
async fn presses(world: &mut World, key: String) {
    let key = char::from(key.as_bytes()[0] & 0x1f);
    person(world).types(&key.to_string());
}

#[when(regex = r"^they make their terminal (\d+) by (\d+)$")]
async fn resizes(world: &mut World, rows: u16, columns: u16) {
    person(world).resizes(rows, columns);
}

#[then(regex = r#"^they see "(.*)"$"#)]
async fn sees(world: &mut World, text: String) {
    person(world).sees(&controls(&unescaped(&text))).await;
}

#[then(regex = r#"^without "(.*)" they see "(.*)"$"#)]
async fn sees_only(world: &mut World, other: String, text: String) {
    let other = controls(&other);
    let seen = person(world).sees(&text).await;
    assert!(!seen.contains(&other), "{seen:?}");
}

#[then(regex = r"^(?:the prompt|their command) ends with (\d+)$")]
async fn ends(world: &mut World, code: i32) {
    assert_eq!(person(world).leaves().await, code, "{:?}", person(world).screen());
    assert!(person(world).has_usual_modes(), "the terminal is as it was");
}

#[then(regex = r#"^a picture of theirs is kept as "(.*)"$"#)]
async fn picture(world: &mut World, content: String) {
    person(world).sees("[picture: ").await;
    let path = person(world).sees("]").await;
    let kept = std::fs::read(path.trim_end_matches(']')).expect("the picture");
    assert_eq!(kept, content.as_bytes());
}

#[then(regex = r#"^their history has "(.*)" and not "(.*)", for nobody else to read$"#)]
async fn history(world: &mut World, code: String, secret: String) {
    let path = world.folder.path().join(".local/state/pinfold/history.python");
    let mode = std::fs::metadata(&path).expect("a history").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).expect("text");
    assert!(text.contains(&code) && !text.contains(&secret), "{text}");
}

#[when(regex = r#"^"(.*)" comes to it from a pipe$"#)]
async fn piped(world: &mut World, code: String) {
    let input = world.folder.path().join("code");
    std::fs::write(&input, unescaped(&code)).expect("written");
    let node = world.node();
    let done = tokio::process::Command::new(binaries().join("pinfold"))
        .arg("session")
        .env_clear()
        .env("HOME", world.folder.path())
        .env("PINFOLD_URL", format!("http://{}", node.caller.address))
        .env("PINFOLD_TOKEN", node.caller.token.as_deref().unwrap_or_default())
        .stdin(std::fs::File::open(&input).expect("the code"))
        .output()
        .await
        .expect("pinfold runs");
    world.notes = vec![
        String::from_utf8_lossy(&done.stdout).into_owned(),
        done.status.code().unwrap_or(-1).to_string(),
    ];
}

#[then(regex = r#"^it printed "(.*)" and ended with (\d+)$"#)]
fn printed(world: &mut World, text: String, code: String) {
    assert_eq!(world.notes, [unescaped(&text), code]);
}
