//! Many at once for a while: nothing may go wrong, and nothing may be left.

use crate::{jobs::median, node::Node};
use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// What must be the same before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) containers: usize,
    pub(crate) cgroups: usize,
    pub(crate) folders: usize,
    pub(crate) open_files: usize,
}

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) seconds: f64,
    pub(crate) jobs: usize,
    pub(crate) errors: usize,
    pub(crate) p50_ms: f64,
    pub(crate) before: Footprint,
    pub(crate) after: Footprint,
}

pub(crate) fn run(node: &Node, clients: usize, seconds: u64) -> anyhow::Result<Load> {
    let before = settled(node)?;
    let errors = AtomicUsize::new(0);
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let took: Vec<f64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..clients)
            .map(|worker| {
                scope.spawn({
                    let errors = &errors;
                    move || client(node, worker, end, errors)
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let errors = errors.into_inner();
    let p50_ms = median(&took);
    let after = settled(node)?;
    Ok(Load { clients, seconds, jobs: took.len(), errors, p50_ms, before, after })
}

fn client(node: &Node, worker: usize, end: Instant, errors: &AtomicUsize) -> Vec<f64> {
    let mut took = Vec::new();
    let Ok(mut client) = node.client() else {
        errors.fetch_add(1, Ordering::Relaxed);
        return took;
    };
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        let id = format!("load-{worker}-{round}");
        let began = Instant::now();
        let ran = client.run(&id, &["sh", "-c", "echo $CYNODE_JOB_ID"]);
        took.push(began.elapsed().as_secs_f64() * 1000.0);
        if !ran.is_ok_and(|stdout| stdout.trim() == id) {
            errors.fetch_add(1, Ordering::Relaxed);
        }
    }
    took
}

/// The footprint once it no longer changes: removal goes on after the last answer.
fn settled(node: &Node) -> anyhow::Result<Footprint> {
    let mut last = footprint(node)?;
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(200));
        let now = footprint(node)?;
        if now == last && now.folders == 0 {
            break;
        }
        last = now;
    }
    Ok(last)
}

fn footprint(node: &Node) -> anyhow::Result<Footprint> {
    let listed = Command::new("podman").args(["ps", "--all", "--quiet"]).output()?;
    let containers = String::from_utf8_lossy(&listed.stdout).lines().count();
    let open_files = std::fs::read_dir(format!("/proc/{}/fd", node.pid()))?.count();
    Ok(Footprint {
        containers,
        cgroups: cgroups(Path::new("/sys/fs/cgroup"), 5),
        folders: node.folders(),
        open_files,
    })
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
