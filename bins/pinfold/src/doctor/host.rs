//! The host from outside: versions, cgroups, user ids, disk, kernel.

use super::line::Line;
use executor::podman::{Described, describe};
use std::path::Path;

/// Space under which a node should not take work, in bytes.
const LEAST_DISK: u64 = 1 << 30;

/// From this version on, Podman no longer fills variables of an image from its own environment.
const PODMAN_CLEAN_ENVIRONMENT: [u64; 3] = [5, 8, 4];

pub(super) async fn look(socket: &Path) -> Vec<Line> {
    let mut lines = match describe(socket).await {
        Ok(described) => engine(&described),
        Err(error) => vec![Line::fails(
            "Podman answers",
            format!("{}: {error}", socket.display()),
            "start its socket: systemctl --user start podman.socket, or deploy/podman-service.sh start",
        )],
    };
    lines.push(kernel());
    lines.push(disk());
    lines
}

fn engine(podman: &Described) -> Vec<Line> {
    let mut lines = vec![Line::holds("Podman answers", format!("version {}", podman.version))];
    lines.push(match number(&podman.version) >= PODMAN_CLEAN_ENVIRONMENT {
        true => Line::holds("Podman keeps its environment to itself", "by its version"),
        false => Line::weaker(
            "Podman keeps its environment to itself",
            "this version fills in variables that an image names (CVE-2026-57231); such images are refused here",
            "Podman 5.8.4, and a service that is started with an empty environment",
        ),
    });
    // Its first line; the others name what it was built from.
    let runtime = podman.runtime_version.lines().next().unwrap_or_default().to_owned();
    lines.push(runtime_line(&podman.runtime, &runtime));
    let missing: Vec<&str> = ["memory", "pids", "cpu"]
        .into_iter()
        .filter(|name| !podman.cgroup_controllers.iter().any(|found| found == name))
        .collect();
    lines.push(match missing.is_empty() {
        true => Line::holds("memory, processes and cores can be limited", podman.cgroup_controllers.join(" ")),
        false => Line::fails(
            "memory, processes and cores can be limited",
            format!("no controller for {}", missing.join(", ")),
            "delegate the controllers to the user (systemd: Delegate=memory pids cpu), or cgroup v2",
        ),
    });
    lines.push(match podman.cgroup_version.as_str() {
        "v2" => Line::holds("cgroups are of version 2", "v2"),
        other => Line::weaker(
            "cgroups are of version 2",
            other,
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
    });
    lines.push(if podman.rootless {
        Line::holds("an escape is not root", "Podman is rootless")
    } else if podman.subordinate_ids {
        Line::holds("an escape is not root", "each sandbox has a range of users of its own")
    } else {
        Line::weaker(
            "an escape is not root",
            "rootful, and no subordinate ids for `containers`",
            "echo containers:2147483647:2147483648 into /etc/subuid and /etc/subgid",
        )
    });
    lines
}

/// Known ways out of a container's runtime, by its version. Of one that we know nothing of, nothing
/// is said to hold.
fn runtime_line(name: &str, seen: &str) -> Line {
    let line = "the OCI runtime has no known way out";
    let mended = match (name, number(seen)) {
        // The fixes of CVE-2025-31133, -52565 and -52881 came out in three series at once.
        ("runc", [1, 2, patch]) => patch >= 8,
        ("runc", [1, 3, patch]) => patch >= 3,
        ("runc", version) => version >= [1, 4, 0],
        _ => false,
    };
    match mended {
        true => Line::holds(line, seen),
        false => Line::weaker(
            line,
            format!(
                "{seen}: its version does not say so; distributions mend older ones without a new number"
            ),
            "runc 1.2.8, 1.3.3, 1.4 or newer, or your distribution's word for runc CVE-2025-31133, -52565, \
             -52881, 2026-41579 and crun CVE-2026-30892, -47766",
        ),
    }
}

fn kernel() -> Line {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let name = "the kernel has openat2 and pidfds";
    let [major, minor, _] = number(&release);
    match (major, minor) >= (5, 6) {
        true => Line::holds(name, release),
        false => Line::fails(name, release, "Linux 5.6 or newer"),
    }
}

fn disk() -> Line {
    let name = "there is room on the disk";
    let stat = rustix::fs::statvfs(&*std::env::temp_dir());
    let free = stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let seen = format!("{} MiB free in the temporary folder", free >> 20);
    match free >= LEAST_DISK {
        true => Line::holds(name, seen),
        false => Line::fails(name, seen, "free some, or point WORKSPACE_ROOT elsewhere"),
    }
}

/// The first three numbers of a version; what is no number counts as none.
fn number(version: &str) -> [u64; 3] {
    let mut numbers = [0; 3];
    let parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().unwrap_or(0);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runtime_that_is_known_to_be_mended_holds() {
        use super::super::line::Verdict;
        let verdict = |name: &str, seen: &str| runtime_line(name, seen).verdict;
        assert_eq!(verdict("runc", "runc version 1.3.3"), Verdict::Holds);
        for (name, seen) in [
            ("runc", "runc version 1.1.5+ds1"),
            ("runc", "runc version 1.3.2"),
            ("crun", "crun version 1.20"),
            ("", ""),
        ] {
            assert_eq!(verdict(name, seen), Verdict::Weaker, "{name} {seen}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(number("4.3.1"), [4, 3, 1]);
        assert_eq!(number("runc version 1.1.5+ds1"), [1, 1, 5]);
        assert_eq!(number("6.18.44-generic"), [6, 18, 44]);
        assert!(number("5.10.0") > number("5.8.4"));
    }
}
