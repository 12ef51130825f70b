//! Files that go in, and artifacts that come out.

use crate::world::World;
use cucumber::{then, when};
use serde_json::json;

#[when(expr = "the dispatcher runs {string} with the file {string} holding {string}")]
async fn with_file(world: &mut World, script: String, path: String, content: String) {
    let job = world.script(&script, json!({"files": [{"path": path, "content": content}]}));
    world.run(job).await;
}

fn tar(path: &str) -> Vec<u8> {
    let mut header = tar::Header::new_old();
    // Past the builder, which would refuse a name that climbs.
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(2);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, &b"a\n"[..]).expect("appended");
    tar.into_inner().expect("written")
}

#[when(expr = "the dispatcher runs {string} with an uploaded tar that holds {string}")]
async fn with_upload(world: &mut World, script: String, path: String) {
    let answer = world.node().caller.post("/v1/worker/uploads", tar(&path)).await;
    let upload_id = answer.json()["upload_id"].clone();
    let job = world.script(&script, json!({"upload_id": upload_id}));
    world.run(job).await;
}

#[when(expr = "the dispatcher uploads a tar that holds {string}")]
async fn uploads(world: &mut World, path: String) {
    let answer = world.node().caller.post("/v1/worker/uploads", tar(&path)).await;
    world.answers.push(answer);
}

#[when(expr = "the dispatcher runs {string} keeping {string}")]
async fn keeping(world: &mut World, script: String, glob: String) {
    let job = world.script(&script, json!({"artifacts": [glob]}));
    world.run(job).await;
}

#[then(expr = "the artifacts are {string}")]
fn artifacts_are(world: &mut World, expected: String) {
    let result = world.last().json();
    assert_eq!(result["status"], "completed", "{result}");
    let artifacts = result["artifacts"].as_array().cloned().unwrap_or_default();
    let paths: Vec<&str> =
        artifacts.iter().filter_map(|artifact| artifact["path"].as_str()).collect();
    assert_eq!(paths.join(" "), expected, "{result}");
}

#[then(expr = "the artifact {string} holds {string}")]
async fn artifact_holds(world: &mut World, path: String, text: String) {
    let path = format!("/v1/worker/jobs/{}/artifacts/{path}", world.job_id());
    assert_eq!(world.node().caller.get(&path).await.text(), format!("{text}\n"));
}
