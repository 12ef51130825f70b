//! What code in the workspace prepares for whoever looks into it.

use crate::world::{World, fault};
use contracts::link::files::FileFault;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

#[tokio::test]
async fn links_lead_nowhere() {
    let world = World::new().await;
    let secret = world.secret();
    symlink(&secret, world.path("file")).unwrap();
    symlink(world.outside.path(), world.path("folder")).unwrap();
    symlink("/proc/self/root", world.path("root")).unwrap();
    symlink("/proc/self/cwd", world.path("cwd")).unwrap();
    let sandbox = &world.sandbox;
    let link = Err(FileFault::Link);
    for path in ["file", "folder/secret", "root/etc/passwd", "cwd/etc/passwd"] {
        assert_eq!(world.read(path).await, Err(FileFault::Link), "{path}");
    }
    for path in ["folder/x", "root/tmp/x"] {
        assert_eq!(world.write(path, b"x").await, link, "{path}");
        assert_eq!(fault(sandbox.make_folder(path).await), Err(FileFault::Link), "{path}");
        assert_eq!(world.unpack(path, &[0; 1024]).await, link, "{path}");
    }
    assert_eq!(fault(sandbox.delete_file("folder/secret", true).await), link);
    assert_eq!(fault(sandbox.move_file("folder/secret", "x", false).await), Err(FileFault::Link));
    assert_eq!(fault(sandbox.list_folder("folder", None, 9).await), Err(FileFault::Link));
    assert_eq!(fault(sandbox.watch("folder", true).await.map(drop)), Err(FileFault::Link));
    assert_eq!(fault(sandbox.pack("file", 99).await.map(drop)), Err(FileFault::NotAFile));
    assert_eq!(fs::read(secret).unwrap(), b"secret");
    // Not even to what lies beneath: between a look and a step it could lead elsewhere.
    fs::create_dir(world.path("real")).unwrap();
    fs::write(world.path("real/x"), "x").unwrap();
    symlink("real", world.path("inner")).unwrap();
    assert_eq!(world.read("inner/x").await, Err(FileFault::Link));
}

#[tokio::test]
async fn writing_and_deleting_take_a_link_for_itself() {
    let world = World::new().await;
    let secret = world.secret();
    symlink(&secret, world.path("a")).unwrap();
    symlink(world.outside.path(), world.path("b")).unwrap();
    world.write("a", b"mine").await.unwrap();
    assert_eq!(world.read("a").await.unwrap(), b"mine");
    world.sandbox.delete_file("b", true).await.unwrap();
    assert_eq!(fs::read(secret).unwrap(), b"secret");
}

#[tokio::test]
async fn deep_deletion_does_not_leave_through_links() {
    let world = World::new().await;
    let secret = world.secret();
    fs::create_dir_all(world.path("d/e")).unwrap();
    symlink(world.outside.path(), world.path("d/e/out")).unwrap();
    world.sandbox.delete_file("d", true).await.unwrap();
    assert_eq!(world.names(""), [] as [&str; 0]);
    assert_eq!(fs::read(secret).unwrap(), b"secret");
}

/// The names of a file are swapped as fast as a program can, for as long as we look.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_never_shows_what_is_outside() {
    let world = World::new().await;
    let secret = world.secret();
    fs::write(world.path("plain"), "plain").unwrap();
    symlink(&secret, world.path("link")).unwrap();
    fs::create_dir(world.path("inner")).unwrap();
    fs::write(world.path("inner/secret"), "plain").unwrap();
    symlink(world.outside.path(), world.path("outer")).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), [("plain", "link"), ("inner", "outer")]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (one, other) in swaps {
                    let (one, other) = (world.path(one), world.path(other));
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let here = rustix::fs::CWD;
                    rustix::fs::renameat_with(here, one, here, other, flags).unwrap();
                }
            }
        });
        let looking = async {
            let mut seen = [0; 2];
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(2) {
                for path in ["plain", "link", "inner/secret", "outer/secret"] {
                    match world.read(path).await {
                        Ok(data) => {
                            assert_eq!(data, b"plain", "{path}");
                            seen[0] += 1;
                        }
                        Err(FileFault::Link) => seen[1] += 1,
                        Err(FileFault::NotFound | FileFault::NotAFolder) => {}
                        Err(other) => panic!("{path}: {other:?}"),
                    }
                }
                let (tar, _) = world.pack("").await.unwrap();
                assert!(!String::from_utf8_lossy(&tar).contains("secret\0\0\0\0secret"));
                for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
                    let mut text = String::new();
                    std::io::Read::read_to_string(&mut entry.unwrap(), &mut text).unwrap();
                    assert_ne!(text, "secret");
                }
            }
            seen
        };
        let looked =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(looking));
        stop.store(true, Ordering::Relaxed);
        assert!(looked.iter().all(|count| *count > 0), "{looked:?}");
    });
}

#[tokio::test]
async fn pipes_sockets_and_devices_stop_nobody() {
    let world = World::new().await;
    assert!(Command::new("mkfifo").arg(world.path("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(world.path("s")).unwrap();
    let looked = tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(world.read("pipe").await, Err(FileFault::NotAFile));
        assert_eq!(world.read("s").await, Err(FileFault::NotAFile));
        let (_, left_out) = world.pack("").await.unwrap();
        assert_eq!(left_out, 2);
        assert_eq!(world.write("pipe", b"now a file").await, Ok(()));
    });
    looked.await.expect("nothing waits for them");
}

/// A lease makes others wait for its holder: for 45 seconds, unless they don't wait.
#[tokio::test]
async fn a_lease_stops_nobody() {
    let world = World::new().await;
    let file = fs::File::create(world.path("leased")).unwrap();
    // SAFETY: a plain call on a descriptor of ours; its signal is ignored by default.
    unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
        assert_eq!(libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_SETLEASE, 1), 0);
    }
    let began = Instant::now();
    assert_eq!(world.read("leased").await, Err(FileFault::Busy));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_file_that_shrinks_is_not_taken_for_whole() {
    let world = World::new().await;
    world.write("f", &vec![1; 1 << 20]).await.unwrap();
    let mut reader = world.sandbox.read_file("f").await.unwrap();
    reader.next().await.unwrap();
    fs::File::options().write(true).open(world.path("f")).unwrap().set_len(70_000).unwrap();
    let end = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(fault(end), Err(FileFault::Changed));
}

#[tokio::test]
async fn a_tar_in_which_a_file_shrinks_breaks_off() {
    let world = World::new().await;
    world.write("f", &vec![1; 1 << 20]).await.unwrap();
    let mut packed = world.sandbox.pack("", 1 << 20).await.unwrap();
    packed.next().await.unwrap();
    fs::File::options().write(true).open(world.path("f")).unwrap().set_len(70_000).unwrap();
    let end = loop {
        match packed.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(fault(end), Err(FileFault::Changed));
}

/// Deeper than a path can say and than there are descriptors.
#[tokio::test]
async fn a_bottomless_folder_can_be_deleted() {
    let world = World::new().await;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    fs::create_dir(world.path("deep")).unwrap();
    let mut at = rustix::fs::open(world.path("deep"), flags, Mode::empty()).unwrap();
    for _ in 0..3000 {
        mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = openat(&at, "d", flags, Mode::empty()).unwrap();
    }
    world.sandbox.delete_file("deep", true).await.unwrap();
    assert_eq!(world.names(""), [] as [&str; 0]);
}

#[tokio::test]
async fn names_that_are_taken_stop_no_write() {
    let world = World::new().await;
    let secret = world.secret();
    for number in 0..40 {
        symlink(&secret, world.path(&format!(".pinfold-{number}.part"))).unwrap();
    }
    world.write("f", b"x").await.unwrap();
    assert_eq!(world.read("f").await.unwrap(), b"x");
    assert_eq!(fs::read(secret).unwrap(), b"secret");
}
