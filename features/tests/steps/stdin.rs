//! What code reads from its standard input, and who answers it.

use super::{
    jobs::unescaped,
    kernels::{begin_with, execute, session},
};
use crate::{http::Answer, world::World};
use cucumber::{then, when};
use serde_json::json;

#[when(regex = r#"^given the input "(.*)" it executes "(.*)"$"#)]
async fn executes_with_input(world: &mut World, input: String, code: String) {
    execute(world, &code, json!({"stdin": unescaped(&input)})).await;
}

#[when(regex = r#"^it begins "(.*)" as "(.*)" and may ask$"#)]
async fn begins_asking(world: &mut World, code: String, name: String) {
    begin_with(world, &code, &name, true).await;
    world.asking = name;
}

async fn answered(world: &World, text: &str) -> Answer {
    let path = format!("{}/cells/{}/stdin", session(world), world.asking);
    world.node().caller.post(&path, json!({"text": text}).to_string()).await
}

async fn until_asked(world: &World, prompt: &str) {
    let path = format!("{}/cells/{}/events", session(world), world.asking);
    let question = json!({"prompt": prompt, "hidden": prompt.starts_with("word")});
    World::until("the code asks", || async {
        let told = world.node().caller.get_until(&path, &question["prompt"].to_string()).await;
        told.contains(&format!("event: stdin\ndata: {{\"hidden\":{},", question["hidden"]))
    })
    .await;
}

#[when(regex = r#"^it asks "(.*)" and is answered "(.*)"$"#)]
async fn asks(world: &mut World, prompt: String, text: String) {
    until_asked(world, &prompt).await;
    is_answered(world, text).await;
}

#[when(regex = r#"^it is answered "(.*)"$"#)]
async fn is_answered(world: &mut World, text: String) {
    let answer = answered(world, &text).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[when(regex = r#"^it is interrupted while it asks "(.*)"$"#)]
async fn interrupted(world: &mut World, prompt: String) {
    until_asked(world, &prompt).await;
    let path = format!("{}/interrupt", session(world));
    let answer = world.node().caller.post(&path, "").await;
    assert_eq!(answer.json()["status"], "interrupted", "{}", answer.text());
    let answer = world.waiting.join_next().await.expect("an answer").expect("no panic");
    world.answers.push(answer);
}

#[then(regex = r"^an answer that comes later is refused with (\d+)$")]
async fn too_late(world: &mut World, status: u16) {
    let answer = answered(world, "late").await;
    assert_eq!(answer.status, status, "{}", answer.text());
}
