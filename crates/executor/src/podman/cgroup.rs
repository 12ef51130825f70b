//! The cgroup of one sandbox, in either version: what it counted, and its freezer.

use crate::Counters;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const ROOT: &str = "/sys/fs/cgroup";

/// Where the controllers of one container are. In version 2 all paths are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    freezer: Option<PathBuf>,
    unified: Option<PathBuf>,
    /// Every folder of it, in every hierarchy.
    all: Vec<PathBuf>,
}

impl Cgroup {
    /// From the text of `/proc/PID/cgroup`. A controller that version 1 has mounted is there and
    /// nowhere else, also on a host that has both.
    pub(super) fn of(text: &str) -> Self {
        let mut found =
            Self { memory: None, cpu: None, freezer: None, unified: None, all: Vec::new() };
        for line in text.lines() {
            let mut parts = line.splitn(3, ':');
            let (Some(number), Some(names), Some(path)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let path = path.trim_start_matches('/');
            let controller = |name: &str| {
                let has = names.split(',').any(|other| other == name);
                has.then(|| PathBuf::from(ROOT).join(names).join(path))
            };
            let hierarchy = names.strip_prefix("name=").unwrap_or(names);
            // Beside version 1, version 2 has a folder of its own.
            let beside = if number == "0" { "unified" } else { hierarchy };
            found.all.push(PathBuf::from(ROOT).join(beside).join(path));
            found.memory = found.memory.or_else(|| controller("memory"));
            found.cpu = found.cpu.or_else(|| controller("cpuacct"));
            found.freezer = found.freezer.or_else(|| controller("freezer"));
            if number == "0" {
                found.unified = Some(PathBuf::from(ROOT).join(path));
            }
        }
        found
    }

    pub(super) fn counters(&self) -> Counters {
        let (oom_kills, memory_bytes, memory_peak_bytes) = match (&self.memory, &self.unified) {
            (Some(at), _) => (
                keyed(&at.join("memory.oom_control"), "oom_kill"),
                number(&at.join("memory.usage_in_bytes")),
                number(&at.join("memory.max_usage_in_bytes")),
            ),
            (None, Some(at)) => (
                keyed(&at.join("memory.events"), "oom_kill"),
                number(&at.join("memory.current")),
                number(&at.join("memory.peak")),
            ),
            (None, None) => (None, None, None),
        };
        let cpu_us = match (&self.cpu, &self.unified) {
            (Some(at), _) => number(&at.join("cpuacct.usage")).map(|nanos| nanos / 1000),
            (None, Some(at)) => keyed(&at.join("cpu.stat"), "usage_usec"),
            (None, None) => None,
        };
        Counters {
            oom_kills: oom_kills.unwrap_or(0),
            memory_bytes: memory_bytes.unwrap_or(0),
            memory_peak_bytes: memory_peak_bytes.unwrap_or(0),
            cpu_us: cpu_us.unwrap_or(0),
        }
    }

    /// Threads count once.
    pub(super) fn processes(&self) -> usize {
        let folder = self.freezer.as_ref().or(self.unified.as_ref());
        let listed = folder.map(|at| fs::read_to_string(at.join("cgroup.procs")));
        listed.and_then(Result::ok).map_or(0, |pids| pids.lines().count())
    }

    /// Removes what the runtime has left of it: under load, it sometimes loses the race against the
    /// last process, and some versions of Podman forget a pod's in the hierarchies without a controller.
    /// Only empty folders can be removed, so nothing living is touched.
    pub(super) fn remove_remains(&self) {
        for folder in &self.all {
            let pod = folder.parent().filter(|parent| is_pods(parent));
            for folder in [Some(folder.as_path()), pod].into_iter().flatten() {
                // Gone is what it should be.
                let _gone = fs::remove_dir(folder);
            }
        }
    }

    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        match (&self.freezer, &self.unified) {
            (Some(at), _) => {
                fs::write(at.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
            }
            (None, Some(at)) => fs::write(at.join("cgroup.freeze"), if frozen { "1" } else { "0" }),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Podman names it by the pod's id and nothing else.
fn is_pods(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_both_versions_counts_where_version_1_is_mounted() {
        let cgroup = Cgroup::of("6:freezer:/p/c\n4:memory:/p/c\n2:cpu,cpuacct:/p/c\n0::/p/c\n");
        assert_eq!(cgroup.memory, Some("/sys/fs/cgroup/memory/p/c".into()));
        assert_eq!(cgroup.cpu, Some("/sys/fs/cgroup/cpu,cpuacct/p/c".into()));
        assert_eq!(cgroup.freezer, Some("/sys/fs/cgroup/freezer/p/c".into()));
    }

    #[test]
    fn what_is_empty_goes_and_with_it_the_folder_of_its_pod() {
        let root = tempfile::tempdir().unwrap();
        let (parent, pod) = (root.path().join("libpod_parent"), "0a".repeat(32));
        let folders = [parent.join(&pod).join("libpod-1"), parent.join("libpod-2")];
        let mut cgroup = Cgroup::of("");
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
            cgroup.all.push(folder.clone());
        }
        let living = parent.join(&pod).join("libpod-proxy");
        fs::create_dir(&living).unwrap();
        cgroup.remove_remains();
        assert!(!folders[0].exists() && !folders[1].exists() && living.exists());
        fs::remove_dir(&living).unwrap();
        cgroup.remove_remains();
        assert!(!parent.join(&pod).exists() && parent.exists());
    }

    #[test]
    fn version_2_has_one_place_for_all() {
        let cgroup = Cgroup::of("0::/machine.slice/libpod-1.scope/container\n");
        let at = "/sys/fs/cgroup/machine.slice/libpod-1.scope/container";
        assert_eq!(cgroup.unified, Some(at.into()));
        assert_eq!(cgroup.memory, None);
    }
}
