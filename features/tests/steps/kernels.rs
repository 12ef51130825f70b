//! Code in sessions.

use super::jobs::unescaped;
use crate::{http::Answer, world::World};
use bytes::Bytes;
use cucumber::{given, then, when};
use serde_json::{Value, json};

const DATA: &str = "localhost/pinfold/python-data:latest";

async fn open(world: &mut World, lang: &str) {
    open_with(world, json!({"lang": lang})).await;
}

pub(super) async fn open_with(world: &mut World, request: Value) {
    let answer = world.node().caller.post("/sessions", request.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["status"], "active");
    let id = answer.json()["session_id"].as_str().expect("an id").to_owned();
    world.notes.push(id);
}

pub(crate) fn session(world: &World) -> String {
    format!("/sessions/{}", world.notes.last().expect("a session"))
}

pub(super) async fn execute(world: &mut World, code: &str, more: Value) -> Answer {
    let mut request = json!({"code": unescaped(code).replace("\\\\", "\\"), "libraries": []});
    let fields = request.as_object_mut().expect("an object");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    let path = format!("{}/execute", session(world));
    let answer = world.node().caller.post(&path, request.to_string()).await;
    world.answers.push(answer.clone());
    answer
}

fn ended(world: &World) -> Value {
    let answer = world.last();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[given("a Python session")]
async fn python(world: &mut World) {
    open(world, "python").await;
}

#[given("a bash session")]
async fn bash(world: &mut World) {
    open(world, "bash").await;
}

#[given("a JavaScript session")]
async fn javascript(world: &mut World) {
    open(world, "javascript").await;
}

#[given(regex = r#"^a session of "(.*)"$"#)]
async fn of_language(world: &mut World, lang: String) {
    open(world, &lang).await;
}

#[given("a node whose Go is the image without one")]
async fn without_go(world: &mut World) {
    start_with(world, "SESSION_IMAGE_GO", crate::world::BASE.to_owned()).await;
}

#[given("a node whose Node.js is too old for types")]
async fn without_types(world: &mut World) {
    // Debian's, and nothing beside it that helps.
    start_with(world, "SESSION_IMAGE_NODE", "localhost/pinfold/sdk-node:latest".to_owned()).await;
}

#[given("a session of Python for data")]
async fn python_for_data(world: &mut World) {
    start_with(world, "SESSION_IMAGE_PYTHON", DATA.to_owned()).await;
    open(world, "python").await;
}

#[when(regex = r#"^it executes "(.*)"$"#)]
async fn executes(world: &mut World, code: String) {
    execute(world, &code, json!({})).await;
}

#[when(regex = r#"^it executes "(.*)" with rich results$"#)]
async fn executes_rich(world: &mut World, code: String) {
    execute(world, &code, json!({"rich": true})).await;
}

#[when(regex = r#"^it executes "(.*)" for at most (\d+) seconds?$"#)]
async fn executes_limited(world: &mut World, code: String, seconds: u64) {
    execute(world, &code, json!({"timeout_seconds": seconds})).await;
}

#[when(regex = r#"^the context "(.*)" executes "(.*)"$"#)]
async fn executes_in(world: &mut World, context: String, code: String) {
    execute(world, &code, json!({"context": context})).await;
}

#[when(regex = r#"^it executes code with the library "(.*)"$"#)]
async fn executes_with_library(world: &mut World, library: String) {
    execute(world, "1", json!({"libraries": [library]})).await;
}

#[when(regex = r#"^"(.*)" is executed without a session$"#)]
async fn executes_once(world: &mut World, code: String) {
    let request = json!({"lang": "python", "code": code, "libraries": []}).to_string();
    let answer = world.node().caller.post("/execute", request).await;
    world.answers.push(answer);
}

/// Sends code that prints `begun` and waits until it has.
async fn begin(world: &mut World, code: &str, name: &str) {
    begin_with(world, code, name, false).await;
}

pub(super) async fn begin_with(world: &mut World, code: &str, name: &str, asks: bool) {
    let request = json!({"code": code, "cell_id": name, "stdin_open": asks}).to_string();
    let (path, caller) = (format!("{}/execute", session(world)), world.node().caller.clone());
    world.waiting.spawn(async move { caller.post(&path, request).await });
    let cell = format!("{}/cells/{name}", session(world));
    World::until("the code has begun", || async {
        let events = format!("{cell}/events");
        let begun = world.node().caller.get_until(&events, "begun").await;
        begun.contains("begun")
    })
    .await;
}

#[when(regex = r#"^it executes "(.*)" and is interrupted$"#)]
async fn interrupted(world: &mut World, code: String) {
    begin(world, &code, "i1").await;
    let path = format!("{}/interrupt", session(world));
    let answer = world.node().caller.post(&path, "").await;
    assert_eq!(answer.json()["status"], "interrupted", "{}", answer.text());
    let answer = world.waiting.join_next().await.expect("an answer").expect("no panic");
    world.answers.push(answer);
}

#[when(regex = r#"^it begins "(.*)" as "(.*)"$"#)]
async fn begins(world: &mut World, code: String, name: String) {
    begin(world, &code, &name).await;
}

#[then(regex = r#"^the result of "(.*)" is "(.*)"$"#)]
async fn result_of(world: &mut World, name: String, stdout: String) {
    let path = format!("{}/cells/{name}", session(world));
    let answer = world.node().caller.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["stdout"], unescaped(&stdout), "{}", answer.text());
    assert_eq!(answer.json()["exit_code"], 0, "{}", answer.text());
}

#[when("its interpreter is restarted")]
async fn restarted(world: &mut World) {
    let path = format!("{}/restart", session(world));
    let answer = world.node().caller.post(&path, "").await;
    assert_eq!(answer.json()["status"], "restarted", "{}", answer.text());
}

#[when("it is closed")]
async fn closed(world: &mut World) {
    let path = session(world);
    let answer = world.node().caller.send("DELETE", &path, Bytes::new(), &[]).await;
    assert_eq!(answer.json(), json!({"status": "closed"}));
}

#[when("a caller without a token opens a session")]
async fn without_token(world: &mut World) {
    let answer = open_without_token(world, &[]).await;
    world.answers.push(answer);
}

#[then(regex = r#"^the code printed "(.*)"$"#)]
fn printed(world: &mut World, text: String) {
    let answer = ended(world);
    assert_eq!(answer["stdout"], unescaped(&text) + "\n", "{answer}");
    assert_eq!(answer["exit_code"], 0, "{answer}");
}

#[then(regex = r#"^the answer is exactly "(.*)", nothing and 0$"#)]
fn plain(world: &mut World, stdout: String) {
    let expected = json!({"stdout": unescaped(&stdout), "stderr": "", "exit_code": 0});
    assert_eq!(ended(world), expected);
}

#[then(regex = r#"^the code failed with (\d+) and "(.*)"$"#)]
fn failed(world: &mut World, code: i64, text: String) {
    let answer = ended(world);
    assert_eq!(answer["exit_code"], code, "{answer}");
    assert!(answer["stderr"].as_str().expect("text").trim_end().ends_with(&text), "{answer}");
}

#[then(regex = r#"^the code failed with (\d+) and the word "(.*)"$"#)]
fn failed_with_word(world: &mut World, code: i64, word: String) {
    let answer = ended(world);
    assert_eq!(answer["exit_code"], code, "{answer}");
    assert!(answer["stderr"].as_str().expect("text").contains(&word), "{answer}");
}

#[then("nothing of ours is in its traceback")]
fn clean_traceback(world: &mut World) {
    let answer = ended(world);
    let stderr = answer["stderr"].as_str().expect("text");
    assert_eq!(stderr.matches("File ").count(), 1, "{stderr}");
    assert!(stderr.contains("<cell 1>"), "{stderr}");
}

#[then(regex = r#"^the code ended as "(.*)" with (\d+)$"#)]
fn ended_as(world: &mut World, status: String, code: i64) {
    let answer = ended(world);
    assert_eq!(
        (&answer["status"], &answer["exit_code"]),
        (&json!(status), &json!(code)),
        "{answer}"
    );
}

#[then(regex = r#"^its interpreter is told (?:to have|to be) (died|fresh)$"#)]
fn kernel_news(world: &mut World, news: String) {
    assert_eq!(ended(world)["kernel"], news, "{}", ended(world));
}

#[then(regex = r#"^it shows "(.*)" as "(.*)"$"#)]
fn shows(world: &mut World, kind: String, text: String) {
    let answer = ended(world);
    let results = answer["results"].as_array().expect("results");
    assert!(results.iter().any(|result| result["data"][&kind] == text.as_str()), "{answer}");
}

#[then(expr = "it shows {string}, {string} and {string}")]
fn shows_all(world: &mut World, first: String, second: String, third: String) {
    let answer = ended(world);
    let results = answer["results"].as_array().expect("results");
    for kind in [first, second, third] {
        assert!(results.iter().any(|result| !result["data"][&kind].is_null()), "{kind}: {answer}");
    }
}

#[then(regex = r"^(\d+) bytes of what it printed were kept and it is marked as cut$")]
fn cut(world: &mut World, bytes: usize) {
    let answer = ended(world);
    let stdout = answer["stdout"].as_str().expect("text");
    // A byte that is no text is three in UTF-8.
    assert!([bytes, 3 * bytes].contains(&stdout.len()), "{} bytes", stdout.len());
    assert_eq!(answer["truncated"]["stdout"], true);
}

#[when(regex = r#"^it executes "(.*)" as a stream$"#)]
async fn streams(world: &mut World, code: String) {
    let answer = execute(world, &code, json!({"stream": true, "cell_id": "s1"})).await;
    assert_eq!(answer.kind, "text/event-stream");
}

#[then(regex = r#"^the stream tells "(.*)" before "(.*)", and its end$"#)]
fn told_in_order(world: &mut World, first: String, second: String) {
    let text = world.last().text();
    let events: Vec<&str> = text.split("\n\n").collect();
    let at = |what: &str, name: &str| {
        let is = |event: &&str| event.contains(&format!("event: {name}\n")) && event.contains(what);
        events.iter().position(is).unwrap_or_else(|| panic!("no {what}: {text}"))
    };
    assert!(at(&first, "stdout") < at(&second, "stdout"), "{text}");
    assert!(at(&second, "stdout") < at("exit_code", "end"), "{text}");
}

#[then(regex = r#"^taken up after the first event it tells "(.*)" only$"#)]
async fn taken_up(world: &mut World, text: String) {
    let path = format!("{}/cells/s1/events", session(world));
    let after = [("last-event-id", "1")];
    let answer = world.node().caller.send("GET", &path, Bytes::new(), &after).await;
    let told = answer.text();
    let told: Vec<&str> = told.split("\n\n").filter(|e| e.contains("event: stdout")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&text), "{told:?}");
}

#[given(regex = r"^(\d+) Python sessions at once that each keep a secret$")]
async fn strangers(world: &mut World, sessions: usize) {
    let caller = world.node().caller.clone();
    let opened = (0..sessions).map(|_| caller.post("/sessions", "{}"));
    for answer in futures::future::join_all(opened).await {
        let id = answer.json()["session_id"].as_str().expect("an id").to_owned();
        world.notes.push(id);
    }
    let keep = "open(f'/tmp/s-{secret}', 'w').write(secret); open(f's-{secret}', 'w').write(secret); \
                import subprocess; child = subprocess.Popen(['sleep', '1000' + str(int(secret, 16))]); \
                print(secret)";
    let keeps = world.notes.iter().map(|id| {
        let code = format!("secret = '{id}'; {keep}");
        let (caller, path) = (caller.clone(), format!("/sessions/{id}/execute"));
        async move { caller.post(&path, json!({"code": code}).to_string()).await }
    });
    world.answers = futures::future::join_all(keeps).await;
}

#[then("each finds its own secret, and nothing of the others")]
async fn own_secret(world: &mut World) {
    // Files of both folders, processes beside the first and this one, names.
    let code = "import os; files = [f for d in ('/tmp', '.') for f in os.listdir(d) if f.startswith('s-')]; \
                others = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]; \
                commands = [open(f'/proc/{p}/cmdline').read().split(chr(0))[1] for p in others]; \
                names = [n for n in globals() if n in ('secret', 'child', 'keep')]; \
                print(secret, files == ['s-' + secret] * 2, commands == ['1000' + str(int(secret, 16))], len(names))";
    let caller = &world.node().caller;
    let ask = |id: &String| {
        let path = format!("/sessions/{id}/execute");
        async move { caller.post(&path, json!({"code": code}).to_string()).await }
    };
    let found = futures::future::join_all(world.notes.iter().map(ask)).await;
    for ((id, kept), found) in world.notes.iter().zip(&world.answers).zip(found) {
        assert_eq!(kept.json()["stdout"], format!("{id}\n"));
        assert_eq!(found.json()["stdout"], format!("{id} True True 2\n"), "{}", found.text());
    }
}

/// The node anew, with one setting more.
pub(crate) async fn start_with(world: &mut World, name: &str, value: String) {
    if let Some(node) = world.node.take() {
        node.kill().await;
    }
    world.settings.push((name.to_owned(), value));
    world.start().await;
}

#[given("a node at an address that stays")]
async fn stays(world: &mut World) {
    let address = world.node().caller.address.to_string();
    start_with(world, "LISTEN_ADDR", address).await;
}

#[given("a node that lets local programs use sessions without a token")]
async fn tokenless(world: &mut World) {
    start_with(world, "SESSIONS_WITHOUT_TOKEN", "true".to_owned()).await;
}

async fn open_without_token(world: &World, headers: &[(&str, &str)]) -> Answer {
    let mut caller = world.node().caller.clone();
    caller.token = None;
    caller.send("POST", "/sessions", Bytes::from("{}"), headers).await
}

#[then("it is open")]
fn is_open(world: &mut World) {
    assert_eq!(ended(world)["status"], "active");
}

#[then("a page in a browser that tries the same is refused")]
async fn page_refused(world: &mut World) {
    let answer = open_without_token(world, &[("origin", "http://localhost:9190")]).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
}

#[given("a node that keeps 1 sandbox with a running Python")]
async fn keeps_python(world: &mut World) {
    world.settings.push(("POOL_MAX".to_owned(), "1".to_owned()));
    world.settings.push(("POOL_MIN".to_owned(), "0".to_owned()));
    let shapes = json!([{"image": crate::world::PYTHON, "kernel": "python", "min": 1}]);
    start_with(world, "POOL_SHAPES", shapes.to_string()).await;
    World::until("a sandbox waits", || async {
        world.node().caller.get("/v1/worker/pool").await.json()["ready"] == 1
    })
    .await;
}

#[then("the session took a sandbox that waited")]
async fn took_waiting(world: &mut World) {
    let pool = world.node().caller.get("/v1/worker/pool").await.json();
    assert_eq!(pool["shapes"][0]["claims"], 1, "{pool}");
    assert_eq!(pool["shapes"][0]["misses"], 0, "{pool}");
}
