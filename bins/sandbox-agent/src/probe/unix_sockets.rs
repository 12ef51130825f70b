//! Unix sockets within reach: files in the tree, and what the network namespace has bound. A
//! runtime's socket among them would be the way out. None is connected to: the far end may act on it.

use super::{Section, fact, mounts::Mount, text};
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Bounds the walk in a tree that its owner may have made deep or wide.
const MAX_ENTRIES: usize = 100_000;
const MAX_DEPTH: usize = 32;

/// Filesystems in which nobody can bind a socket, and which are large or endless.
const KERNEL_OWN: [&str; 8] =
    ["proc", "sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf"];

pub(super) fn report(mounts: &[Mount]) -> Section {
    let skipped: BTreeSet<&Path> = mounts
        .iter()
        .filter(|mount| KERNEL_OWN.contains(&mount.kind.as_str()))
        .map(|mount| Path::new(mount.target.as_str()))
        .collect();
    let walk = walk(Path::new("/"), &skipped);
    let bound = bound(&text("/proc/net/unix"));
    let runtime = |name: &str| {
        ["podman", "docker", "containerd", "crio"].iter().any(|runtime| name.contains(runtime))
    };
    vec![
        fact("podman_socket", walk.found.iter().chain(&bound).any(|name| runtime(name))),
        fact(
            "unix_sockets",
            json!({ "files": walk.found, "bound": bound, "walked_whole": walk.whole }),
        ),
    ]
}

#[derive(Debug)]
struct Walk {
    found: Vec<String>,
    whole: bool,
}

/// Socket files beneath `top`, over borders of filesystems, never through symbolic links.
fn walk(top: &Path, skipped: &BTreeSet<&Path>) -> Walk {
    let mut found = Vec::new();
    let mut whole = true;
    let mut seen = 0;
    let mut folders: Vec<(PathBuf, usize)> = vec![(top.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        // A folder that can't be listed may still be passed through by who knows a name in it;
        // nobody here knows one.
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                found.sort();
                return Walk { found, whole: false };
            }
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_socket() => found.push(path.to_string_lossy().into_owned()),
                Ok(kind) if kind.is_dir() && !skipped.contains(path.as_path()) => {
                    whole &= depth < MAX_DEPTH;
                    if depth < MAX_DEPTH {
                        folders.push((path, depth + 1));
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    Walk { found, whole }
}

/// Names that sockets of this network namespace have: paths, and `@` before abstract ones.
fn bound(unix: &str) -> Vec<String> {
    let names: BTreeSet<&str> =
        unix.lines().skip(1).filter_map(|line| line.split_whitespace().nth(7)).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_walk_finds_sockets_and_follows_no_link() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let _listener = UnixListener::bind(inner.join("s.sock")).unwrap();
        std::os::unix::fs::symlink(top.path(), inner.join("loop")).unwrap();
        let walk = walk(top.path(), &BTreeSet::new());
        assert_eq!(walk.found, [inner.join("s.sock").to_string_lossy()]);
        assert!(walk.whole);
    }

    #[test]
    fn bound_sockets_are_told_by_name_once() {
        let unix = "Num RefCount Protocol Flags Type St Inode Path\n\
                    0: 00000002 00000000 00010000 0001 01 10 /run/a.sock\n\
                    0: 00000003 00000000 00000000 0001 03 11 /run/a.sock\n\
                    0: 00000003 00000000 00000000 0001 03 12\n\
                    0: 00000002 00000000 00010000 0001 01 13 @abstract\n";
        assert_eq!(bound(unix), ["/run/a.sock", "@abstract"]);
    }
}
