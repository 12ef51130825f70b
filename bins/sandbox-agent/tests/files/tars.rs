//! Tars in both directions, and those that an attacker made.

use crate::world::{World, fault};
use contracts::link::files::{EntryFault, FileFault, FileLimit};
use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};
use tar::{EntryType, Header};

/// An entry as it is written by nobody decent.
fn entry(name: &str, kind: EntryType, target: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    // Past the crate, which would refuse such names itself.
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o6755);
    header.set_mtime(1_000_000_000);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    entry(name, EntryType::Regular, "", data)
}

fn ended(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = entries.concat();
    tar.extend([0; 1024]);
    tar
}

fn pax(records: &str) -> Vec<u8> {
    entry("pax", EntryType::XHeader, "", records.as_bytes())
}

fn read(tar: &[u8]) -> Vec<(String, EntryType, String)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        (name, entry.header().entry_type(), text)
    });
    entries.collect()
}

#[tokio::test]
async fn a_folder_comes_back_as_it_was_sent() {
    let world = World::new().await;
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o755);
    header.set_mtime(1_000_000_000);
    for (name, data) in [("a/run.sh", "#!"), ("empty", ""), (&*long, "long")] {
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, data.as_bytes()).unwrap();
    }
    let tar = builder.into_inner().unwrap();
    world.unpack("in/here", &tar).await.unwrap();
    let meta = fs::metadata(world.path("in/here/a/run.sh")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
    assert_eq!(
        meta.modified().unwrap(),
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)
    );
    symlink("a/run.sh", world.path("in/here/inward")).unwrap();
    symlink("/etc/passwd", world.path("in/here/outward")).unwrap();
    let (packed, left_out) = world.pack("in/here").await.unwrap();
    assert_eq!(left_out, 1);
    let names: Vec<_> = read(&packed).into_iter().map(|(name, ..)| name).collect();
    let folder = format!("{}/", "d".repeat(200));
    assert_eq!(names, ["a/", "a/run.sh", &folder, &long, "empty", "inward"]);
    world.unpack("again", &packed).await.unwrap();
    assert_eq!(fs::read(world.path(&format!("again/{long}"))).unwrap(), b"long");
    assert_eq!(fs::read_link(world.path("again/inward")).unwrap(), Path::new("a/run.sh"));
}

#[tokio::test]
async fn other_programs_read_what_we_pack_and_we_what_they_do() {
    let world = World::new().await;
    let long = format!("{}/{}", "ä".repeat(90), "f".repeat(150));
    world.write(&long, &vec![7; 200_000]).await.unwrap();
    world.write("x", b"x").await.unwrap();
    let (packed, _) = world.pack("").await.unwrap();
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("t.tar"), packed).unwrap();
    fs::create_dir(out.path().join("u")).unwrap();
    let gnu = |args: &[&str]| {
        let done = std::process::Command::new("tar").args(args).current_dir(out.path()).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    gnu(&["-xf", "t.tar", "-C", "u"]);
    assert_eq!(fs::read(out.path().join("u").join(&long)).unwrap(), vec![7; 200_000]);
    for format in ["--format=gnu", "--format=pax", "--format=ustar"] {
        let _old = fs::remove_file(out.path().join("u").join("v"));
        if format == "--format=ustar" {
            // It has no room for such a name.
            fs::remove_dir_all(out.path().join("u").join("ä".repeat(90))).unwrap();
        }
        gnu(&[format, "-cf", "v.tar", "-C", "u", "."]);
        let into = format.trim_start_matches("--format=");
        world.unpack(into, &fs::read(out.path().join("v.tar")).unwrap()).await.unwrap();
        assert_eq!(world.read(&format!("{into}/x")).await.unwrap(), b"x");
    }
    assert_eq!(world.read(&format!("gnu/{long}")).await.unwrap().len(), 200_000);
}

#[tokio::test]
async fn hostile_entries_are_refused_by_their_name() {
    let world = World::new().await;
    let secret = world.secret();
    let climbing = format!("../{}", secret.file_name().unwrap().to_str().unwrap());
    let link = |name: &str, target: &str| entry(name, EntryType::Symlink, target, &[]);
    let global = entry("g", EntryType::XGlobalHeader, "", b"14 path=../xy\n");
    for (name, tar, why) in [
        ("/etc/x", vec![file("/etc/x", b"x")], EntryFault::Absolute),
        (&climbing, vec![file(&climbing, b"x")], EntryFault::Climbs),
        ("a/../../x", vec![file("a/../../x", b"x")], EntryFault::Climbs),
        ("..", vec![entry("..", EntryType::Directory, "", &[])], EntryFault::Climbs),
        ("a//b", vec![file("a//b", b"x")], EntryFault::BadName),
        ("a\u{fffd}b", vec![file("a\nb", b"x")], EntryFault::BadName),
        ("", vec![file("", b"x")], EntryFault::BadName),
        ("l", vec![link("l", "/etc/passwd")], EntryFault::LinkOut),
        ("l", vec![link("l", "../secret")], EntryFault::LinkOut),
        ("a/l", vec![link("a/l", "b/../../x")], EntryFault::LinkOut),
        ("h", vec![entry("h", EntryType::Link, "/etc/passwd", &[])], EntryFault::HardLink),
        ("h", vec![file("x", b""), entry("h", EntryType::Link, "x", &[])], EntryFault::HardLink),
        ("d", vec![entry("d", EntryType::Char, "", &[])], EntryFault::Device),
        ("d", vec![entry("d", EntryType::Block, "", &[])], EntryFault::Device),
        ("d", vec![entry("d", EntryType::Fifo, "", &[])], EntryFault::Device),
        ("s", vec![entry("s", EntryType::GNUSparse, "", &[])], EntryFault::Sparse),
        ("s", vec![pax("22 GNU.sparse.major=1\n"), file("s", b"")], EntryFault::Sparse),
        ("v", vec![entry("v", EntryType::new(b'V'), "", &[])], EntryFault::UnknownKind),
        ("../x", vec![pax("13 path=../x\n"), file("plain", b"x")], EntryFault::Climbs),
        ("path", vec![global, file("plain", b"x")], EntryFault::UnknownKind),
        // Through a link that came first, which stays inside by itself.
        ("in/x", vec![link("in", "real"), file("in/x", b"x")], EntryFault::InTheWay),
        ("f/x", vec![file("f", b""), file("f/x", b"x")], EntryFault::InTheWay),
    ] {
        let done = world.unpack("t", &ended(&tar)).await;
        assert_eq!(done, Err(FileFault::Entry { name: name.to_owned(), why }), "{name}");
    }
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert!(!world.path("x").exists() && !world.path("secret").exists());
}

#[tokio::test]
async fn a_link_that_a_program_made_is_not_unpacked_through() {
    let world = World::new().await;
    let secret = world.secret();
    fs::create_dir(world.path("t")).unwrap();
    symlink(world.outside.path(), world.path("t/out")).unwrap();
    symlink(&secret, world.path("t/file")).unwrap();
    let why = EntryFault::InTheWay;
    let refused = Err(FileFault::Entry { name: "out/secret".to_owned(), why });
    assert_eq!(world.unpack("t", &ended(&[file("out/secret", b"x")])).await, refused);
    // A link at the very name is replaced.
    assert_eq!(world.unpack("t", &ended(&[file("file", b"x")])).await, Ok(()));
    assert_eq!(fs::read(secret).unwrap(), b"secret");
}

#[tokio::test]
async fn rights_that_a_tar_lends_are_not_given() {
    let world = World::new().await;
    world.unpack("", &ended(&[file("f", b"x")])).await.unwrap();
    let mode = fs::metadata(world.path("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn bombs_meet_their_limits() {
    let world = World::new().await;
    let too_large = |limit| Err(FileFault::TooLarge(limit));
    // Says that it is larger than the workspace, by far, and sends nothing.
    let mut header = Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    for size in [2 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
        header.set_size(size);
        header.set_cksum();
        let done = world.unpack("", header.as_bytes()).await;
        assert!(matches!(done, Err(FileFault::TooLarge(FileLimit::Workspace))), "{size}: {done:?}");
    }
    let sized = [pax("22 size=999999999999999\n"), file("f", b"")];
    assert!(world.unpack("", &ended(&sized)).await.is_err());
    let long = entry("x", EntryType::GNULongName, "", &vec![b'a'; 65_537]);
    assert_eq!(world.unpack("", &long).await, too_large(FileLimit::TarHeader));
    let many = file("f", b"").repeat(100_001);
    assert_eq!(world.unpack("", &many).await, too_large(FileLimit::Entries));
    let many = pax("6 a=b\n").repeat(100_001);
    assert_eq!(world.unpack("", &many).await, too_large(FileLimit::Entries));
    assert_eq!(world.names(""), ["f"]);
}

#[tokio::test]
async fn a_sparse_file_makes_no_endless_download() {
    let world = World::new().await;
    fs::File::create(world.path("hole")).unwrap().set_len(1 << 40).unwrap();
    let done = world.pack("").await;
    assert_eq!(done.map(drop), Err(FileFault::TooLarge(FileLimit::Workspace)));
    assert_eq!(
        fault(world.sandbox.pack("hole", 99).await.map(drop)),
        Err(FileFault::TooLarge(FileLimit::Workspace))
    );
}

#[tokio::test]
async fn what_is_no_tar_or_half_of_one_is_refused() {
    let world = World::new().await;
    let whole = ended(&[file("f", &[1; 5000])]);
    let mut other_sum = whole.clone();
    other_sum[0] ^= 1;
    for tar in [&[][..], &[7; 1024], &whole[..511], &whole[..600], &whole[..5632], &other_sum] {
        assert_eq!(world.unpack("", tar).await, Err(FileFault::BrokenTar), "{}", tar.len());
    }
    // Half a file is no file: only what was whole is there.
    assert_eq!(world.names(""), ["f"]);
    world.sandbox.delete_file("f", false).await.unwrap();
    assert_eq!(world.unpack("", &whole[..5000]).await, Err(FileFault::BrokenTar));
    assert_eq!(world.names(""), [] as [&str; 0]);
}

#[tokio::test]
async fn noise_breaks_nothing() {
    let world = World::new().await;
    let whole = ended(&[pax("13 path=long\n"), file("f", &[1; 700]), file("g", b"x")]);
    for at in 0..1024 {
        let mut tar = whole.clone();
        tar[at] = tar[at].wrapping_add(at as u8 | 1);
        // Whatever it says, the agent lives and says something.
        let _said = world.unpack("n", &tar).await;
    }
    world.write("alive", b"").await.unwrap();
}
