//! Files of the kernel and devices that should be masked, empty or read-only in a sandbox.

use super::{Section, fact};
use rustix::fs::{Access, CWD, Mode, OFlags};
use serde_json::{Map, Value, json};
use std::io::Read;

/// Tell about the host, its memory or other tenants.
const READABLE: [&str; 12] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/interrupts",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/acpi",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/kernel/debug",
];

/// Change the host, or have the kernel run something on it. They are opened, and never written.
const WRITABLE: [&str; 9] = [
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/drop_caches",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup",
];

pub(super) fn report() -> Section {
    let readable: Map<String, Value> =
        READABLE.into_iter().map(|path| fact(path, is_readable(path))).collect();
    let writable: Map<String, Value> =
        WRITABLE.into_iter().map(|path| fact(path, is_writable(path))).collect();
    vec![
        fact("kernel_files", json!({ "readable": readable, "writable": writable })),
        fact("devices", devices()),
    ]
}

/// Something comes out of it: a mask can be opened, too, and is empty.
fn is_readable(path: &str) -> bool {
    if let Ok(mut entries) = std::fs::read_dir(path) {
        return entries.next().is_some();
    }
    // Without waiting: some of these block until the kernel has news.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map(std::fs::File::from)
        .is_ok_and(|mut file| file.read(&mut [0; 1]).is_ok_and(|read| read > 0))
}

/// A mask by `/dev/null` can be opened for writing and swallows it; a folder is judged by its mode
/// and its mount, because entries made there would stay.
fn is_writable(path: &str) -> bool {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => rustix::fs::access(path, Access::WRITE_OK).is_ok(),
        Ok(metadata) if metadata.is_file() => {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, path, flags, Mode::empty()).is_ok()
        }
        _ => false,
    }
}

fn devices() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/dev") else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_neither_readable_nor_writable() {
        assert!(!is_readable("/dev/null"));
        assert!(!is_writable("/dev/null"));
        let empty = tempfile::tempdir().unwrap();
        assert!(!is_readable(empty.path().to_str().unwrap()));
        assert!(is_readable("/proc/self/status"));
    }
}
