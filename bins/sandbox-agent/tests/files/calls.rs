//! The calls as callers mean them.

use crate::world::{World, fault};
use contracts::link::files::{FileFault, FileKind};
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

#[tokio::test]
async fn a_file_goes_in_and_comes_out_with_its_folders() {
    let world = World::new().await;
    let data: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    world.write("a/b/c.bin", &data).await.unwrap();
    assert!(world.read("a/b/c.bin").await.unwrap() == data);
    assert_eq!(world.names("a/b"), ["c.bin"]);
    let stat = world.sandbox.stat_file("a/b/c.bin").await.unwrap();
    assert_eq!((stat.kind, stat.size_bytes, stat.mode), (FileKind::File, 1_000_000, 0o644));
}

#[tokio::test]
async fn a_range_is_read_from_where_it_begins() {
    let world = World::new().await;
    let data: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    world.write("f", &data).await.unwrap();
    let mut reader = world.sandbox.read_file("f").await.unwrap();
    reader.limit(100_000, 250_001);
    let mut part = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        part.extend(piece);
    }
    assert!(part == data[100_000..250_001]);
}

#[tokio::test]
async fn a_file_is_replaced_whole_and_keeps_its_mode() {
    let world = World::new().await;
    fs::write(world.path("f"), "old").unwrap();
    fs::set_permissions(world.path("f"), fs::Permissions::from_mode(0o750)).unwrap();
    let mut writer = world.sandbox.write_file("f", None, false).await.unwrap();
    writer.write(b"new").await.unwrap();
    assert_eq!(fs::read(world.path("f")).unwrap(), b"old");
    writer.finish().await.unwrap();
    assert_eq!(fs::read(world.path("f")).unwrap(), b"new");
    let mode = fs::metadata(world.path("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[tokio::test]
async fn a_file_that_is_not_finished_leaves_nothing() {
    let world = World::new().await;
    let mut writer = world.sandbox.write_file("f", None, false).await.unwrap();
    writer.write(b"half").await.unwrap();
    drop(writer);
    for _ in 0..100 {
        if world.names("").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it stays: {:?}", world.names(""));
}

#[tokio::test]
async fn modes_lose_the_bits_that_lend_rights() {
    let world = World::new().await;
    let writer = world.sandbox.write_file("f", Some(0o6755), false).await.unwrap();
    writer.finish().await.unwrap();
    let mode = fs::metadata(world.path("f")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[tokio::test]
async fn only_new_leaves_what_is_there() {
    let world = World::new().await;
    world.write("f", b"old").await.unwrap();
    let writer = world.sandbox.write_file("f", None, true).await.unwrap();
    assert_eq!(fault(writer.finish().await), Err(FileFault::Exists));
    assert_eq!(world.read("f").await.unwrap(), b"old");
    assert_eq!(world.names(""), ["f"]);
}

#[tokio::test]
async fn a_folder_is_listed_page_by_page() {
    let world = World::new().await;
    for at in 0..25 {
        fs::write(world.path(&format!("f{at:02}")), "x").unwrap();
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = world.sandbox.list_folder("", after, 10).await.unwrap();
        assert!(page.entries.len() <= 10);
        names.extend(page.entries.iter().map(|(name, _)| name.clone()));
        if !page.more {
            break;
        }
        after = names.last().cloned();
    }
    assert_eq!(names, world.names(""));
}

#[tokio::test]
async fn names_that_no_path_holds_are_counted() {
    let world = World::new().await;
    fs::write(world.path("a\nb"), "").unwrap();
    fs::write(world.path("plain"), "").unwrap();
    let page = world.sandbox.list_folder("", None, 10).await.unwrap();
    assert_eq!((page.entries.len(), page.unnamable), (1, 1));
}

#[tokio::test]
async fn moving_replaces_only_when_it_is_asked_to() {
    let world = World::new().await;
    world.write("a", b"a").await.unwrap();
    world.write("b", b"b").await.unwrap();
    let sandbox = &world.sandbox;
    assert_eq!(fault(sandbox.move_file("a", "b", false).await), Err(FileFault::Exists));
    assert_eq!(fault(sandbox.move_file("a", "b", true).await), Ok(false));
    assert_eq!(fault(sandbox.move_file("b", "deep/er/c", false).await), Ok(true));
    assert_eq!(fault(sandbox.move_file("deep", "deep/er/x", false).await), Err(FileFault::Exists));
    assert_eq!(fault(sandbox.move_file("none", "new/x", false).await), Err(FileFault::NotFound));
    assert_eq!(world.names(""), ["deep"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_its_name() {
    let world = World::new().await;
    world.write("file", b"x").await.unwrap();
    fs::create_dir(world.path("folder")).unwrap();
    fs::write(world.path("folder/x"), "").unwrap();
    let sandbox = &world.sandbox;
    assert_eq!(world.read("none").await, Err(FileFault::NotFound));
    assert_eq!(world.read("folder").await, Err(FileFault::IsFolder));
    assert_eq!(world.read("file/x").await, Err(FileFault::NotAFolder));
    assert_eq!(world.write("folder", b"").await, Err(FileFault::IsFolder));
    assert_eq!(world.write("file/x", b"").await, Err(FileFault::NotAFolder));
    assert_eq!(fault(sandbox.list_folder("file", None, 9).await), Err(FileFault::NotAFolder));
    assert_eq!(fault(sandbox.make_folder("file").await), Err(FileFault::Exists));
    assert_eq!(fault(sandbox.make_folder("folder").await), Ok(false));
    assert_eq!(fault(sandbox.delete_file("folder", false).await), Err(FileFault::NotEmpty));
    assert_eq!(fault(sandbox.delete_file("none", true).await), Err(FileFault::NotFound));
    assert_eq!(fault(sandbox.delete_file("folder", true).await), Ok(()));
    assert_eq!(world.names(""), ["file"]);
}

#[tokio::test]
async fn more_calls_than_there_may_be_are_refused() {
    let world = World::new().await;
    world.write("f", b"x").await.unwrap();
    let mut readers = Vec::new();
    for _ in 0..contracts::link::files::MAX_CALLS {
        readers.push(world.sandbox.read_file("f").await.unwrap());
    }
    assert_eq!(world.read("f").await, Err(FileFault::TooMany));
    readers.clear();
    assert_eq!(world.read("f").await.unwrap(), b"x");
}
