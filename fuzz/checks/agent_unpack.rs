//! A tar of a caller's, unpacked by the agent: as bytes, or described by them, since no fuzzer finds the
//! sum of a header.
//!
//! At any split the same folder comes of it, and the same verdict. All that is made is beneath the
//! folder: plain files, folders, and links that stay inside; no more bytes than are allowed.

use crate::tars::described;
use contracts::link::files::{FileFault, link_stays_inside};
use sandbox_agent::Unpack;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
};

const MOST: u64 = 2000;

pub(crate) fn check(data: &[u8]) {
    let Some((&[how, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let tar = if how % 4 == 0 { rest.to_vec() } else { described(rest) };
    let whole = unpacked(&tar, tar.len().max(1), how);
    assert_eq!(whole, unpacked(&tar, usize::from(piece).max(1) * 7, how));
}

type Found = BTreeMap<String, String>;

fn unpacked(tar: &[u8], piece: usize, how: u8) -> (Result<u64, FileFault>, Found) {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::tempdir_in(place).expect("a folder");
    let root = folder.path().join("root");
    fs::create_dir(&root).expect("made");
    fs::write(folder.path().join("beside"), "as it was").expect("written");
    // What a program in the sandbox may have put there before.
    if how & 0x10 != 0 {
        std::os::unix::fs::symlink("..", root.join("a")).expect("linked");
        std::os::unix::fs::symlink("../beside", root.join("b")).expect("linked");
    }
    let root_fd: OwnedFd = File::open(&root).expect("opened").into();
    let beneath = if how & 0x20 != 0 { "d/e" } else { "" };
    let told = Unpack::begin(&root_fd, beneath, MOST).and_then(|mut unpack| {
        tar.chunks(piece).try_for_each(|piece| unpack.feed(piece))?;
        unpack.finish()
    });
    let mut found = Found::new();
    let bytes = look(&root, "", &mut found);
    assert!(bytes <= MOST, "{bytes} bytes");
    let beside: Vec<_> = fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(beside.len(), 2, "something is beside the folder");
    let text = fs::read_to_string(folder.path().join("beside")).expect("read");
    assert_eq!(text, "as it was");
    (told, found)
}

fn look(folder: &Path, name: &str, found: &mut Found) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).expect("listed") {
        let entry = entry.expect("listed");
        let own = entry.file_name().into_string().expect("a name that is text");
        let path = if name.is_empty() { own } else { format!("{name}/{own}") };
        let meta = entry.metadata().expect("looked at");
        let mode = meta.permissions().mode() & 0o7777;
        let kind = meta.file_type();
        let what = if kind.is_symlink() {
            let target = fs::read_link(entry.path()).expect("read");
            let target = target.to_str().expect("text").to_owned();
            // The two that were there lead out.
            let ours = matches!((&*path, &*target), ("a", "..") | ("b", "../beside"));
            assert!(ours || link_stays_inside(&path, &target), "{path} -> {target}");
            format!("-> {target}")
        } else if kind.is_dir() {
            bytes += look(&entry.path(), &path, found);
            format!("folder {mode:o}")
        } else {
            assert!(kind.is_file(), "{path}");
            bytes += meta.len();
            // Not everybody may read every mode.
            format!("{mode:o} {:?}", fs::read(entry.path()).ok())
        };
        assert_eq!(mode & 0o7000, 0, "{path} has rights of another");
        found.insert(path, what);
    }
    bytes
}
