//! The mounts of the sandbox, what of them can be written, and how large the writable ones are.

use super::{Section, errno, fact, text};
use rustix::fs::{Access, CWD, Mode, OFlags};
use serde_json::{Map, Value, json};

/// The folders that a sandbox may write to; each should be a mount of its own, with a size.
const SIZED: [&str; 4] = ["/workspace", "/tmp", "/job", "/dev/shm"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) target: String,
    pub(super) kind: String,
    /// Which folder of its filesystem is mounted: for a bind mount, a path of the host.
    root: String,
    options: String,
    size: Option<String>,
}

pub(super) fn read() -> Vec<Mount> {
    text("/proc/self/mountinfo").lines().filter_map(parse).collect()
}

pub(super) fn report(mounts: &[Mount]) -> Section {
    let list: Vec<Value> = mounts
        .iter()
        .map(|mount| {
            json!({
                "target": mount.target,
                "type": mount.kind,
                "root": mount.root,
                "options": mount.options,
                "size": mount.size,
                "writable": rustix::fs::access(mount.target.as_str(), Access::WRITE_OK).is_ok(),
            })
        })
        .collect();
    vec![
        fact("mounts", list),
        fact("sizes", sizes(mounts)),
        fact("root_writable", creates_in("/") || creates_in("/etc")),
    ]
}

/// Bytes of each folder that is a mount; `null` where it is part of something larger.
fn sizes(mounts: &[Mount]) -> Map<String, Value> {
    SIZED
        .into_iter()
        .map(|path| {
            let mounted = mounts.iter().any(|mount| mount.target == path);
            let size = mounted.then(|| rustix::fs::statvfs(path));
            let value = match size {
                None => Value::Null,
                Some(Ok(stat)) => json!(stat.f_blocks * stat.f_frsize),
                Some(Err(error)) => json!(errno::outcome::<()>(Err(error))),
            };
            fact(path, value)
        })
        .collect()
}

/// Whether a new file can be made in `folder`: tried, because options promise more than they keep.
fn creates_in(folder: &str) -> bool {
    let path = format!("{folder}/.sandbox-agent-probe");
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let created = rustix::fs::openat(CWD, path.as_str(), flags, Mode::RUSR).is_ok();
    if created {
        // The file is ours, as it was made exclusively; one that stays is empty and unreadable.
        std::fs::remove_file(&path).is_ok()
    } else {
        false
    }
}

/// A line of mountinfo: ids, device, root, target, options, optional fields, a dash, type, source
/// and the filesystem's own options, of which only a size tells something.
fn parse(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut filesystem = filesystem.split(' ');
    Some(Mount {
        root: unescape(mount.next()?),
        target: unescape(mount.next()?),
        options: mount.next()?.to_owned(),
        kind: filesystem.next()?.to_owned(),
        size: filesystem
            .nth(1)?
            .split(',')
            .find_map(|option| option.strip_prefix("size="))
            .map(str::to_owned),
    })
}

/// The kernel writes blanks and backslashes of a path in octal.
fn unescape(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(path.to_owned(), |path, (code, plain)| path.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read_with_its_optional_fields() {
        let line = "36 35 0:40 /a\\040b /work\\040space rw,nosuid shared:1 master:2 - tmpfs tmpfs rw,size=16384k,uid=1000";
        assert_eq!(
            parse(line),
            Some(Mount {
                target: "/work space".to_owned(),
                kind: "tmpfs".to_owned(),
                root: "/a b".to_owned(),
                options: "rw,nosuid".to_owned(),
                size: Some("16384k".to_owned()),
            })
        );
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn a_try_at_creating_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(creates_in(folder.path().to_str().unwrap()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!creates_in("/proc"));
    }
}
