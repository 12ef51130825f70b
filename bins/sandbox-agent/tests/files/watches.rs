//! What is told of changes.

use crate::world::{World, fault};
use contracts::link::files::{Change, FileFault, MAX_WATCHED};
use executor::files::Watcher;
use std::{fs, time::Duration};

/// Changes until one of them fits.
async fn until(watcher: &mut Watcher, fits: impl Fn(&Change) -> bool) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    let told = tokio::time::timeout(Duration::from_secs(10), async {
        while !all.iter().any(&fits) {
            all.extend(watcher.next().await.unwrap());
        }
    });
    assert!(told.await.is_ok(), "it was never told: {all:?}");
    all
}

fn created(path: &str, folder: bool) -> Change {
    Change::Created { path: path.to_owned(), folder }
}

#[tokio::test]
async fn changes_are_told_by_their_path() {
    let world = World::new().await;
    fs::create_dir(world.path("d")).unwrap();
    let mut watcher = world.sandbox.watch("", true).await.unwrap();
    fs::write(world.path("d/f"), "x").unwrap();
    let all = until(&mut watcher, |change| matches!(change, Change::Modified { .. })).await;
    assert_eq!(all[0], created("d/f", false));
    fs::remove_file(world.path("d/f")).unwrap();
    let gone = Change::Deleted { path: "d/f".to_owned(), folder: false };
    until(&mut watcher, |change| *change == gone).await;
}

#[tokio::test]
async fn only_a_recursive_watch_looks_deeper() {
    let world = World::new().await;
    fs::create_dir(world.path("d")).unwrap();
    let mut watcher = world.sandbox.watch("", false).await.unwrap();
    fs::write(world.path("d/f"), "x").unwrap();
    fs::write(world.path("g"), "x").unwrap();
    let all = until(&mut watcher, |change| *change == created("g", false)).await;
    assert!(!all.contains(&created("d/f", false)), "{all:?}");
}

#[tokio::test]
async fn new_folders_are_watched_too_and_moved_ones_by_their_new_name() {
    let world = World::new().await;
    let mut watcher = world.sandbox.watch("", true).await.unwrap();
    fs::create_dir_all(world.path("a/b")).unwrap();
    fs::write(world.path("a/b/f"), "x").unwrap();
    until(&mut watcher, |change| *change == created("a/b/f", false)).await;
    fs::rename(world.path("a"), world.path("z")).unwrap();
    until(&mut watcher, |change| *change == created("z/b", true)).await;
    fs::write(world.path("z/b/g"), "x").unwrap();
    until(&mut watcher, |change| *change == created("z/b/g", false)).await;
}

#[tokio::test]
async fn a_file_is_watched_by_its_name() {
    let world = World::new().await;
    fs::write(world.path("f"), "x").unwrap();
    let mut watcher = world.sandbox.watch("f", false).await.unwrap();
    fs::write(world.path("other"), "x").unwrap();
    world.write("f", b"replaced").await.unwrap();
    let all = until(&mut watcher, |change| *change == created("f", false)).await;
    assert_eq!(all, [created("f", false)], "{all:?}");
}

#[tokio::test]
async fn the_end_of_a_folder_is_told() {
    let world = World::new().await;
    fs::create_dir(world.path("d")).unwrap();
    let mut watcher = world.sandbox.watch("d", false).await.unwrap();
    fs::remove_dir(world.path("d")).unwrap();
    until(&mut watcher, |change| *change == Change::Gone).await;
}

#[tokio::test]
async fn too_many_changes_and_too_many_folders_are_told_as_such() {
    let world = World::new().await;
    let mut watcher = world.sandbox.watch("", false).await.unwrap();
    // Nobody asks meanwhile, and the kernel keeps some 16,000.
    for at in 0..20_000 {
        fs::write(world.path(&format!("f{}", at % 7)), "x").unwrap();
    }
    until(&mut watcher, |change| *change == Change::Overflow).await;
    for at in 0..MAX_WATCHED + 10 {
        fs::create_dir(world.path(&format!("d{at}"))).unwrap();
    }
    let mut watcher = world.sandbox.watch("", true).await.unwrap();
    until(&mut watcher, |change| *change == Change::Overflow).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_watched() {
    let world = World::new().await;
    assert_eq!(fault(world.sandbox.watch("none", false).await.map(drop)), Err(FileFault::NotFound));
}
