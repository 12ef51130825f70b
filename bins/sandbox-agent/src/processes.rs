//! The other processes of the sandbox: who they are, signals to all of them, and their remains.

use crate::process_setup::is_init;
use std::{collections::HashMap, fs};

/// A child that ended.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) status: i32,
    pub(crate) cpu_us: u64,
    pub(crate) max_rss_bytes: u64,
}

/// The next child that has ended, orphans of the sandbox included.
pub(crate) fn reap() -> Option<Reaped> {
    let mut status = 0;
    // SAFETY: both out-parameters are valid for the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &mut status, libc::WNOHANG, &mut usage), usage)
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (pid > 0).then(|| Reaped {
        pid,
        status,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss as u64 * 1024,
    })
}

/// Signals everything but the agent. As the first process, the kernel does it in one stroke that no
/// fork can slip through; otherwise only our own descendants are ours to signal.
pub(crate) fn signal_all(signal: i32) {
    if is_init() {
        // SAFETY: a system call without memory. -1 spares the caller and, here, reaches nobody
        // outside of this pid namespace.
        unsafe { libc::kill(-1, signal) };
        return;
    }
    signal_descendants(std::process::id() as i32, signal);
}

/// Signals a command's session and whatever it started that is still below it.
pub(crate) fn signal_tree(pid: i32, signal: i32) {
    signal_descendants(pid, signal);
    // SAFETY: a system call without memory; the group is the command's own, by its setsid.
    unsafe {
        libc::kill(-pid, signal);
        libc::kill(pid, signal);
    }
}

/// Signals whoever is in the foreground of a command's session.
pub(crate) fn signal_group(pid: i32, signal: i32) {
    // SAFETY: a system call without memory; the group is the command's own, by its setsid.
    unsafe { libc::kill(-pid, signal) };
}

fn signal_descendants(root: i32, signal: i32) {
    for pid in descendants(root) {
        // SAFETY: a system call without memory.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Everybody below a process, by the parents that `/proc` tells.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if let Some(pid) = pid
            && let Some(parent) = parent(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut look = vec![root];
    while let Some(pid) = look.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend_from_slice(&below);
        look.extend(below);
    }
    found
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, parentheses included.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
