//! Programs that mean harm.

use super::lifetimes::moment;
use crate::world::{PYTHON, World};
use cucumber::{then, when};
use serde_json::{Value, json};
use std::time::Duration;

fn program(name: &str) -> Value {
    let shell = |script: &str| json!({"command": ["sh", "-c", script]});
    let bash = |script: &str| json!({"command": ["bash", "-c", script]});
    let python = |script: &str| {
        // Little memory: how fast a loaded machine hands out pages is not the question here.
        let limits = json!({"memory_bytes": 64 << 20});
        json!({"image": PYTHON, "command": ["python3", "-c", script], "limits": limits})
    };
    match name {
        "sleeper" => shell("sleep 1000"),
        "TERM ignorer" => shell("trap '' TERM; while :; do sleep 1; done"),
        "fork bomb" => {
            bash("trap '' TERM; bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done")
        }
        "zombie maker" => shell("for i in $(seq 100); do sleep 0.01 & done; exec sleep 1000"),
        "busy loop" => shell("while :; do :; done"),
        "memory hog" => python("x = []\nwhile True: x.append(bytearray(1 << 20))"),
        "shared memory hog" => python(
            "import mmap\nx = []\nwhile True:\n m = mmap.mmap(-1, 1 << 22)\n m.write(b'x' * (1 << 22))\n x.append(m)",
        ),
        "workspace filler" => shell(
            "dd if=/dev/zero of=/workspace/a bs=1M count=200 && dd if=/dev/zero of=/workspace/b bs=1M count=200",
        ),
        "tmp filler" => shell("dd if=/dev/zero of=/tmp/full bs=1M count=1000"),
        "writer of one large file" => json!({
            "command": ["sh", "-c", "exec dd if=/dev/zero of=/workspace/large bs=1M count=200"],
            "limits": {"file_size_bytes": 1 << 20},
        }),
        "output flood" => shell("exec yes"),
        // Its standard input fills what stands between, and nothing else may wait for that.
        "reader of nothing" => {
            json!({"command": ["sleep", "1000"], "stdin": "x".repeat(3 << 20)})
        }
        "spoiler of its folders" => json!({
            "command": ["sh", "-c", "rm -rf /job/artifacts; ln -s /workspace /job/artifacts; mkdir /workspace/a; chmod 0 /workspace/a"],
            "artifacts": ["**"],
        }),
        "fd eater" => python("x = []\nwhile True: x.append(open('/dev/null'))"),
        other => panic!("nobody knows the program {other}"),
    }
}

#[when(regex = r"^a (.+) runs for at most (\d+) seconds$")]
async fn hostile_runs(world: &mut World, name: String, seconds: u64) {
    let mut sandbox = program(&name);
    sandbox["timeout_seconds"] = json!(seconds);
    let job = world.job(sandbox);
    let answer = world.run(job).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // From its start, which is what a deadline counts from: a busy machine makes sandboxes slowly.
    let result = answer.json();
    let took = moment(&result["ended_at"]) - moment(&result["started_at"]);
    assert!(took < Duration::from_secs(seconds + 2), "it took {took}");
}

#[then(expr = "it ended as {string} because of {string}")]
fn ended_as(world: &mut World, status: String, reason: String) {
    let result = world.last().json();
    assert_eq!(
        (&result["status"], &result["reason"]),
        (&json!(status), &json!(reason)),
        "{result}"
    );
}

#[then("its result says that artifacts were left out")]
fn left_out(world: &mut World) {
    let result = world.last().json();
    assert_eq!(result["artifacts_truncated"], json!(true), "{result}");
}

#[then("nothing of it is alive")]
async fn nothing_alive(world: &mut World) {
    let job_id = world.job_id();
    let marker = format!("CYNODE_JOB_ID={job_id}\0");
    let alive = || {
        let environ = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("environ")).ok();
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let of_job =
            |environ: Vec<u8>| environ.windows(marker.len()).any(|part| part == marker.as_bytes());
        processes.filter_map(environ).any(of_job)
    };
    World::until("no process of the job is left", || async { !alive() }).await;
    World::until("no container is left", || async { world.containers().await.is_empty() }).await;
}

#[then("the next job is unharmed")]
async fn next_unharmed(world: &mut World) {
    let job = world.script("echo fine", json!({}));
    assert_eq!(world.run(job).await.json()["stdout"], "fine\n");
}
