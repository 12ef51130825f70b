//! Who this process is: its ids, capabilities, flags and limits, and what it may see of PID 1.

use super::{Section, fact, text};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

pub(super) fn report() -> Section {
    let status = text("/proc/self/status");
    let mut facts = vec![
        fact("pid", std::process::id()),
        fact("uid", rustix::process::getuid().as_raw()),
        fact("gid", rustix::process::getgid().as_raw()),
        fact("groups", field(&status, "Groups")),
        fact("no_new_privs", number(&status, "NoNewPrivs")),
        fact("seccomp", number(&status, "Seccomp")),
        fact("seccomp_filters", number(&status, "Seccomp_filters")),
        fact("uid_map", text("/proc/self/uid_map").trim()),
        fact("gid_map", text("/proc/self/gid_map").trim()),
        fact("pid1", pid_1()),
        fact("rlimits", rlimits()),
        fact("env", env_names()),
    ];
    facts.extend(["inh", "prm", "eff", "bnd", "amb"].map(|set| {
        let (first, rest) = set.split_at(1);
        let name = format!("Cap{}{rest}", first.to_uppercase());
        fact(&format!("cap_{set}"), field(&status, &name))
    }));
    facts
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map_or("", |(_, value)| value.trim())
}

/// A kernel that doesn't know the field says `null`, which isn't 0.
fn number(status: &str, name: &str) -> Option<i64> {
    field(status, name).parse().ok()
}

/// What of PID 1 can be opened from here. It is the agent, with the same user as its programs: only
/// that it isn't dumpable keeps its memory to itself. Of course a PID 1 can open its own.
fn pid_1() -> Value {
    let opens = |path: &str| std::fs::File::open(path).is_ok();
    json!({
        "self": std::process::id() == 1,
        "mem": opens("/proc/1/mem"),
        "environ": opens("/proc/1/environ"),
        "maps": opens("/proc/1/maps"),
        "fds": std::fs::read_dir("/proc/1/fd").is_ok(),
        "root": std::fs::read_link("/proc/1/root").is_ok(),
    })
}

/// Soft and hard; `null` is no limit.
fn rlimits() -> Value {
    let limit = |resource| {
        let limit = getrlimit(resource);
        json!({ "soft": limit.current, "hard": limit.maximum })
    };
    json!({
        "core": limit(Resource::Core),
        "nofile": limit(Resource::Nofile),
        "nproc": limit(Resource::Nproc),
        "fsize": limit(Resource::Fsize),
    })
}

/// Names only: a report is read by people, and a value may be somebody's secret.
fn env_names() -> Vec<String> {
    let mut names: Vec<String> =
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let status = "Seccomp_filters:\t3\nSeccomp:\t2\nCapEff:\t0000000000000000\n";
        assert_eq!(number(status, "Seccomp"), Some(2));
        assert_eq!(number(status, "Seccomp_filters"), Some(3));
        assert_eq!(number(status, "NoNewPrivs"), None);
        assert_eq!(field(status, "CapEff"), "0000000000000000");
    }
}
