//! The floor, judged by what the probe saw from inside a sandbox.

use super::line::Line;
use serde_json::Value;

pub(super) fn judge(probe: &Value) -> Vec<Line> {
    vec![
        Line::holds("a real sandbox starts", "and its agent answers"),
        capabilities(probe),
        number(probe, "no_new_privs", 1, "nothing gives new privileges"),
        number(probe, "seccomp", 2, "system calls are filtered"),
        refused(probe, "sockets", "only local and route sockets can be opened", |name| {
            let name = name.to_uppercase();
            let local = ["AF_UNIX", "AF_INET"].iter().any(|local| name.starts_with(local));
            (local && !name.contains("RAW")) || name.contains("ROUTE")
        }),
        refused(probe, "syscalls", "the dangerous system calls are refused", |_| false),
        users(probe),
        interfaces(probe),
        flag(probe, "root_writable", "the root can't be written"),
        flag(probe, "podman_socket", "Podman's socket is out of sight"),
        sizes(probe),
        landlock(probe),
    ]
}

const OURS: &str = "report it: the node asked for it, and this host did not do it";

fn capabilities(probe: &Value) -> Line {
    let name = "every capability set is empty";
    let sets = ["cap_inh", "cap_prm", "cap_eff", "cap_bnd", "cap_amb"];
    let empty = |hex: &str| !hex.is_empty() && hex.bytes().all(|digit| digit == b'0');
    let full = |set: &&str| !probe[*set].as_str().is_some_and(empty);
    match sets.into_iter().find(full) {
        None => Line::holds(name, "seen from inside"),
        Some(set) => Line::fails(name, format!("{set} is {}", probe[set]), OURS),
    }
}

fn number(probe: &Value, field: &str, wanted: u64, name: &str) -> Line {
    match probe[field].as_u64() {
        Some(found) if found == wanted => Line::holds(name, "seen from inside"),
        other => Line::fails(name, format!("{field} is {other:?}"), OURS),
    }
}

fn flag(probe: &Value, field: &str, name: &str) -> Line {
    match probe[field].as_bool() {
        Some(false) => Line::holds(name, "tried from inside"),
        other => Line::fails(name, format!("{field} is {other:?}"), OURS),
    }
}

fn refused(probe: &Value, field: &str, name: &str, may: impl Fn(&str) -> bool) -> Line {
    let Some(tried) = probe[field].as_object().filter(|tried| !tried.is_empty()) else {
        return Line::fails(name, "nothing was tried", OURS);
    };
    let passed =
        |(name, outcome): (&String, &Value)| (outcome == "ok" && !may(name)).then(|| name.clone());
    let passed: Vec<String> = tried.iter().filter_map(passed).collect();
    match passed.is_empty() {
        true => Line::holds(name, format!("{} tried from inside", tried.len())),
        false => Line::fails(name, format!("passed: {}", passed.join(", ")), OURS),
    }
}

fn users(probe: &Value) -> Line {
    let name = "users inside are others outside";
    let map = probe["uid_map"].as_str().unwrap_or_default();
    let host = map.split_whitespace().nth(1).and_then(|id| id.parse::<u64>().ok());
    match host {
        Some(host) if host > 0 => Line::holds(name, format!("0 inside is {host} outside")),
        _ => Line::weaker(
            name,
            "the host's own ids",
            "subordinate ids for `containers`, or rootless Podman",
        ),
    }
}

fn interfaces(probe: &Value) -> Line {
    let name = "there is no interface but loopback";
    match probe["interfaces"] == serde_json::json!(["lo"]) {
        true => Line::holds(name, "seen from inside"),
        false => Line::fails(name, probe["interfaces"].to_string(), OURS),
    }
}

fn sizes(probe: &Value) -> Line {
    let name = "what can be written has a size";
    let places = ["/workspace", "/tmp", "/job", "/dev/shm"];
    let unsized_place = places
        .into_iter()
        .find(|place| probe["sizes"][place].as_u64().is_none_or(|bytes| bytes == 0));
    match unsized_place {
        None => Line::holds(name, places.join(" ")),
        Some(place) => Line::fails(name, format!("{place} has none"), OURS),
    }
}

/// Where the kernel has it and it can't be seen, something keeps it from sandboxes.
fn landlock(probe: &Value) -> Line {
    let name = "Landlock stands behind the mounts";
    let found = &probe["landlock"];
    match (found["abi"].as_u64(), found["fenced"].as_bool()) {
        (Some(abi), Some(true)) => Line::holds(name, format!("abi {abi}, tried from inside")),
        (Some(abi), _) => Line::fails(name, format!("abi {abi}, and what it forbids passes"), OURS),
        (None, _) => Line::weaker(
            name,
            found["says"].as_str().unwrap_or("the probe says nothing"),
            "a kernel with CONFIG_SECURITY_LANDLOCK that is booted with landlock among lsm=",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::line::Verdict, *};
    use serde_json::json;

    fn good() -> Value {
        json!({
            "cap_inh": "0000", "cap_prm": "0000", "cap_eff": "0000", "cap_bnd": "0000", "cap_amb": "0000",
            "no_new_privs": 1, "seccomp": 2, "root_writable": false, "podman_socket": false,
            "sockets": {"AF_UNIX": "ok", "AF_ALG": "EPERM"}, "syscalls": {"mount": "EPERM"},
            "uid_map": "0 2147483647 65536", "interfaces": ["lo"],
            "sizes": {"/workspace": 1, "/tmp": 1, "/job": 1, "/dev/shm": 1},
            "landlock": {"abi": 6, "fenced": true, "says": "abi 6"},
        })
    }

    fn worst(probe: &Value) -> Option<Verdict> {
        judge(probe).into_iter().map(|line| line.verdict).max()
    }

    #[test]
    fn a_whole_floor_holds() {
        assert_eq!(worst(&good()), Some(Verdict::Holds));
    }

    #[test]
    fn each_missing_board_is_seen() {
        for (field, bad) in [
            ("cap_bnd", json!("0001")),
            ("cap_eff", Value::Null),
            ("cap_prm", json!("")),
            ("no_new_privs", json!(0)),
            ("seccomp", json!(0)),
            ("sockets", json!({"AF_ALG": "ok"})),
            ("sockets", json!({})),
            ("syscalls", json!({"unshare": "ok"})),
            ("interfaces", json!(["lo", "eth0"])),
            ("root_writable", json!(true)),
            ("podman_socket", Value::Null),
            ("sizes", json!({"/tmp": 0})),
            ("landlock", json!({"abi": 6, "fenced": false})),
        ] {
            let mut probe = good();
            probe[field] = bad.clone();
            assert_eq!(worst(&probe), Some(Verdict::Fails), "{field}: {bad}");
        }
        for (field, weak) in [
            ("uid_map", json!("0 0 4294967295")),
            (
                "landlock",
                json!({"abi": null, "fenced": false, "says": "none: the kernel has none"}),
            ),
        ] {
            let mut probe = good();
            probe[field] = weak;
            assert_eq!(worst(&probe), Some(Verdict::Weaker), "{field}");
        }
    }
}
