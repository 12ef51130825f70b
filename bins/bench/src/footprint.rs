//! What must be the same before and after.

use crate::{node::Node, podman};
use std::{path::Path, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) containers: usize,
    pub(crate) cgroups: usize,
    pub(crate) folders: usize,
    pub(crate) open_files: usize,
}

impl Footprint {
    pub(crate) fn now(node: &Node) -> anyhow::Result<Self> {
        let open_files = std::fs::read_dir(format!("/proc/{}/fd", node.pid()))?.count();
        Ok(Self {
            containers: podman::containers()?,
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), 5),
            folders: node.folders(),
            open_files,
        })
    }

    /// Once so many sandboxes are there and nothing changes any more: removal and refill go on
    /// after the last answer.
    pub(crate) fn settled(node: &Node, sandboxes: usize) -> anyhow::Result<Self> {
        let mut last = Self::now(node)?;
        for _ in 0..150 {
            std::thread::sleep(Duration::from_millis(200));
            let now = Self::now(node)?;
            if now == last && now.folders == sandboxes {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}

/// Folders of containers' cgroups, in whatever hierarchy. (The kernel's own count also has those that
/// are gone and wait for their last page to be freed.)
fn cgroups(folder: &Path, depth: usize) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let count = |entry: std::fs::DirEntry| {
        let of_container = entry.file_name().to_string_lossy().starts_with("libpod-");
        let below = if depth > 0 { cgroups(&entry.path(), depth - 1) } else { 0 };
        usize::from(of_container) + below
    };
    folders.map(count).sum()
}
