//! The floor, as the agent's own probe sees it from inside a sandbox.

use crate::world::World;
use cucumber::{then, when};
use serde_json::Value;

#[when("the floor is looked at from inside")]
async fn look(world: &mut World) {
    let job = world.job(serde_json::json!({"command": ["/run/pinfold/agent", "probe"]}));
    let answer = world.run(job).await.json();
    let stdout = answer["stdout"].as_str().expect("output");
    let probe = serde_json::from_str(stdout).unwrap_or_else(|_| panic!("not a probe: {answer}"));
    world.last_job = probe;
}

fn probe(world: &World) -> &Value {
    &world.last_job
}

#[then("every capability set is empty")]
fn capabilities(world: &mut World) {
    for set in ["cap_inh", "cap_prm", "cap_eff", "cap_bnd", "cap_amb"] {
        let set = probe(world)[set].as_str().expect("a set");
        assert!(!set.is_empty() && set.bytes().all(|digit| digit == b'0'), "{set}");
    }
}

#[then("nothing gives new privileges")]
fn privileges(world: &mut World) {
    assert_eq!(probe(world)["no_new_privs"], 1);
}

#[then("system calls are filtered")]
fn filtered(world: &mut World) {
    assert_eq!(probe(world)["seccomp"], 2);
}

#[then("the user is not root and not the host's")]
fn user(world: &mut World) {
    assert_eq!(probe(world)["uid"], 1000);
    let map = probe(world)["uid_map"].as_str().expect("a map").to_owned();
    let host: u64 = map.split_whitespace().nth(1).expect("a range").parse().expect("a number");
    assert!(host > 65536, "{map}");
}

#[then("only local and route sockets can be opened")]
fn sockets(world: &mut World) {
    let sockets = probe(world)["sockets"].as_object().expect("sockets").clone();
    assert!(sockets.len() > 10, "{sockets:?}");
    for (name, outcome) in sockets {
        let allowed = name.starts_with("AF_UNIX")
            || name.starts_with("AF_INET")
            || name.to_uppercase().contains("ROUTE");
        if !allowed || name.to_uppercase().contains("RAW") {
            assert_ne!(outcome, "ok", "{name}");
        }
    }
}

#[then("the dangerous system calls are refused")]
fn syscalls(world: &mut World) {
    let calls = probe(world)["syscalls"].as_object().expect("calls").clone();
    assert!(calls.len() > 30, "{calls:?}");
    let passed: Vec<_> = calls.iter().filter(|(_, outcome)| *outcome == "ok").collect();
    assert!(passed.is_empty(), "{passed:?}");
}

#[then("there is no interface but loopback")]
fn interfaces(world: &mut World) {
    assert_eq!(probe(world)["interfaces"], serde_json::json!(["lo"]));
}

#[then("the root can't be written")]
fn root(world: &mut World) {
    assert_eq!(probe(world)["root_writable"], false);
}

#[then("no foreign socket is in sight")]
fn no_sockets(world: &mut World) {
    assert_eq!(probe(world)["podman_socket"], false);
    let sockets = probe(world)["unix_sockets"].clone();
    assert_eq!(sockets["files"], serde_json::json!([]), "{sockets}");
    // The link's own end bears the name that the host bound it by, which means nothing in here.
    let bound = sockets["bound"].as_array().expect("bound");
    let of_link =
        |name: &Value| name.as_str().is_some_and(|name| name.starts_with("/proc/self/fd/"));
    assert!(bound.iter().all(of_link), "{sockets}");
}

#[then("core dumps are off")]
fn no_cores(world: &mut World) {
    let core = probe(world)["rlimits"]["core"].to_string();
    assert!(!core.bytes().any(|byte| (b'1'..=b'9').contains(&byte)), "{core}");
}

#[then("the agent's memory can't be read")]
fn agents_memory(world: &mut World) {
    let opened = probe(world)["pid1"].as_object().expect("pid1").clone();
    assert!(!opened.is_empty());
    for (name, outcome) in opened {
        assert!(outcome != true && outcome != "ok", "{name} can be opened");
    }
}

#[then("every writable mount has a size")]
fn sized(world: &mut World) {
    let sizes = probe(world)["sizes"].as_object().expect("sizes").clone();
    for place in ["/workspace", "/tmp", "/job", "/dev/shm"] {
        let bytes = sizes[place].as_u64().unwrap_or_else(|| panic!("{place}: {sizes:?}"));
        assert!(bytes > 0 && bytes <= 1 << 30, "{place} has {bytes}");
    }
}
