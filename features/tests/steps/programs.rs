//! The programs of `features/programs`: unmodified clients, run in sandboxes case by case.

use crate::world::World;
use cucumber::{then, when};
use serde_json::{Value, json};

#[when(expr = "a job runs the program {string} with the cases {string}")]
async fn runs_program(world: &mut World, program: String, cases: String) {
    run(world, program, cases, json!({})).await;
}

#[when(expr = "a job runs the program {string} by HTTPS with the cases {string}")]
async fn runs_by_https(world: &mut World, program: String, cases: String) {
    run(world, program, cases, by_https()).await;
}

pub(super) fn by_https() -> Value {
    json!({
        "OPENAI_BASE_URL": "https://inference.local/v1",
        "ANTHROPIC_BASE_URL": "https://inference.local",
        "OLLAMA_HOST": "https://inference.local:443",
    })
}

pub(super) async fn run(world: &mut World, program: String, cases: String, env: Value) {
    // The SDKs' programs share a file with each other.
    let (image, interpreter, shared) = match program.rsplit_once('.') {
        Some((_, "py")) => ("sdk-python", "python3", Some("cases.py")),
        Some((_, "cjs")) => ("sdk-node", "node", Some("cases.cjs")),
        _ => ("sdk-python", "sh", None),
    };
    let files = shared.into_iter().chain([program.as_str()]).map(|name| {
        let path = format!("{}/programs/{name}", env!("CARGO_MANIFEST_DIR"));
        json!({"path": name, "content": std::fs::read_to_string(path).expect("the program")})
    });
    let files: Vec<Value> = files.collect();
    let script = format!("for each in {cases}; do {interpreter} {program} $each || exit 9; done");
    let job = world.job(json!({
        "image": format!("localhost/pinfold/{image}:latest"),
        "command": ["sh", "-c", script],
        "use_inference": true,
        "env": env,
        "files": files,
    }));
    let result = world.run(job).await.json();
    assert_eq!(result["status"], "completed", "{result}");
    world.notes = cases.split(' ').map(str::to_owned).collect();
}

/// What the program said of each case, in their order.
pub(crate) fn said(world: &World) -> Vec<Value> {
    let result = world.last().json();
    let stdout = result["stdout"].as_str().expect("output");
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{stdout}")))
        .collect();
    let cases: Vec<&str> = lines.iter().filter_map(|line| line["case"].as_str()).collect();
    assert_eq!(cases, world.notes, "{result}");
    lines
}

#[then("each case ended well")]
fn all_well(world: &mut World) {
    for line in said(world) {
        assert_eq!(line["outcome"], "ok", "{line}");
        // A count has no text.
        assert!(line["text"] != "" || line["case"] == "count", "{line}");
    }
}

#[then("no case ended well")]
fn none_well(world: &mut World) {
    for line in said(world) {
        assert_eq!(line["outcome"], "error", "{line}");
        assert_ne!(line["error"], "ProgramTimeout", "the gate ends it, not the client: {line}");
    }
}
