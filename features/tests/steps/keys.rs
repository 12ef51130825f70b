//! A planted key, looked for wherever a container could have it.

use crate::{
    operator::KEY,
    world::{World, podman},
};
use cucumber::{given, then, when};
use serde_json::json;
use std::{fs::File, os::unix::fs::FileExt};

/// Most of a process that is looked at in one piece.
const PIECE: u64 = 1 << 20;

#[given("a node with an admin")]
async fn node_with_admin(world: &mut World) {
    world.start_with_admin().await;
}

#[when(expr = "a job asks the model for {string}, and goes on running")]
async fn asks(world: &mut World, text: String) {
    let body = json!({"model": "anything", "messages": [{"role": "user", "content": text}]});
    let script = format!(
        "wget -qO- --header 'content-type: application/json' --post-data '{body}' \
         $OPENAI_BASE_URL/chat/completions; echo; \
         env; cat /proc/*/environ /proc/*/cmdline /proc/*/mountinfo /proc/net/unix; \
         find / -xdev -type f -size -64 ! -path '/proc/*' ! -path '/sys/*' \
           -exec cat {{}} +; \
         echo all is read; sleep 600"
    );
    let job = world.script(&script, json!({"use_inference": true}));
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let path = format!("/v1/worker/jobs/{}/events", world.job_id());
    world.notes = vec![world.node().caller.get_until(&path, "all is read").await];
}

#[then(expr = "the model has answered {string}")]
fn answered(world: &mut World, text: String) {
    assert!(world.notes[0].contains("chat.completion"), "{}", world.notes[0]);
    assert!(world.notes[0].contains(&text), "{}", world.notes[0]);
}

#[then("the key is in nothing that the job can read")]
fn not_in_job(world: &mut World) {
    assert!(world.notes[0].contains("OPENAI_API_KEY=none-needed"), "{}", world.notes[0]);
    assert!(!world.notes[0].contains(KEY));
}

/// The names of the sandbox's container and of its sidecar.
async fn both(world: &World) -> [String; 2] {
    let listed = world.containers().await;
    let label = "{{index .Config.Labels \"io.pinfold.sandbox\"}}";
    let id = podman(&["inspect", "--format", label, &listed[0]]).await;
    [format!("pinfold-{id}"), format!("pinfold-{id}-proxy")]
}

#[then("the key is in nothing that Podman tells of both containers")]
async fn not_in_podman(world: &mut World) {
    for name in both(world).await {
        let told = podman(&["inspect", &name]).await;
        assert!(told.contains(&name) && !told.contains(KEY), "{name}");
    }
}

#[then("the key is in the memory of no process of both containers")]
async fn not_in_memory(world: &mut World) {
    for name in both(world).await {
        let pids = podman(&["top", &name, "hpid"]).await;
        let pids: Vec<&str> = pids.lines().skip(1).map(str::trim).collect();
        assert!(!pids.is_empty(), "{name}");
        for pid in pids {
            // Without root, another user's process can't be read by us, nor by anybody like us.
            let Ok(memory) = File::open(format!("/proc/{pid}/mem")) else { continue };
            assert!(!holds_key(pid, &memory), "{name} {pid}");
        }
    }
}

fn holds_key(pid: &str, memory: &File) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let regions = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let bound = |text| u64::from_str_radix(text, 16).ok();
        rest.starts_with('r').then(|| bound(from).zip(bound(to))).flatten()
    });
    let mut piece = vec![0; (PIECE as usize) + KEY.len()];
    regions.into_iter().any(|(from, to)| {
        (from..to).step_by(PIECE as usize).any(|at| {
            let length = piece.len().min((to - at) as usize);
            let read = memory.read_at(&mut piece[..length], at).unwrap_or(0);
            piece[..read].windows(KEY.len()).any(|window| window == KEY.as_bytes())
        })
    })
}
