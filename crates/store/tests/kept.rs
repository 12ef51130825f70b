//! What is kept of the ended, and what goes: by age, count and size, the oldest first.

#[path = "shared/rows.rs"]
mod rows;

use contracts::{
    JobId,
    problem::{Problem, ProblemType},
};
use store::{Ended, JobRow, Kept, Outlived, Store, Why};
use time::{Duration, OffsetDateTime};

const ALL: Kept = Kept { count: u64::MAX, bytes: u64::MAX };

struct World {
    _folder: tempfile::TempDir,
    store: Store,
}

impl World {
    /// Jobs that ended in this order, and one that has not.
    async fn with(ended: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.admit(job("runs")).await.unwrap();
        for id in ended {
            store.admit(job(id)).await.unwrap();
            let gone = Problem::new(ProblemType::Internal, 500, "gone");
            store.finish(JobId::new(*id).unwrap(), Err(gone)).await.unwrap();
        }
        Self { _folder: folder, store }
    }

    async fn gone(&self, before: OffsetDateTime, most: Kept) -> Vec<(String, Why)> {
        let outlived = self.store.outlived(before, most).await.unwrap();
        let told = |gone: &Outlived| match &gone.who {
            Ended::Job(id) => (id.to_string(), gone.why),
            Ended::Session(id) => (id.to_string(), gone.why),
        };
        let named = outlived.iter().map(told).collect();
        self.store.forget(outlived).await.unwrap();
        named
    }
}

fn job(id: &str) -> JobRow {
    rows::queued(id, vec!["true".to_owned(), "x".repeat(1000)])
}

fn because(why: Why, ids: &[&str]) -> Vec<(String, Why)> {
    ids.iter().map(|id| ((*id).to_owned(), why)).collect()
}

#[tokio::test]
async fn expiry_takes_the_ended_and_leaves_the_rest() {
    let world = World::with(&["a"]).await;
    let later = OffsetDateTime::now_utc() + Duration::hours(1);
    assert_eq!(world.gone(OffsetDateTime::UNIX_EPOCH, ALL).await, []);
    assert_eq!(world.gone(later, ALL).await, because(Why::Age, &["a"]));
    assert_eq!(world.store.kept().await.unwrap(), Kept::default());
    assert_eq!(world.store.unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn beyond_a_count_or_a_size_the_oldest_go_first_and_never_one_that_runs() {
    let world = World::with(&["a", "b", "c", "d"]).await;
    let never = OffsetDateTime::UNIX_EPOCH;
    let Kept { count, bytes } = world.store.kept().await.unwrap();
    assert!(count == 4 && bytes > 4000, "{bytes}");
    let most = Kept { count: 3, ..ALL };
    assert_eq!(world.gone(never, most).await, because(Why::Room, &["a"]));
    let most = Kept { bytes: bytes / 2, ..ALL };
    assert_eq!(world.gone(never, most).await, because(Why::Room, &["b"]));
    assert_eq!(world.gone(never, most).await, []);
    let nothing = Kept::default();
    assert_eq!(world.gone(never, nothing).await, because(Why::Room, &["c", "d"]));
    assert_eq!(world.gone(never, nothing).await, []);
    assert_eq!(world.store.unfinished().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_is_tried_again_in_between_is_not_forgotten() {
    let world = World::with(&["a"]).await;
    let outlived = world.store.outlived(OffsetDateTime::UNIX_EPOCH, Kept::default()).await.unwrap();
    let a = JobId::new("a").unwrap();
    assert!(world.store.retry(a.clone()).await.unwrap());
    world.store.forget(outlived).await.unwrap();
    assert!(world.store.job(a).await.unwrap().is_some());
}

#[tokio::test]
async fn what_an_older_node_has_kept_is_counted() {
    let world = World::with(&["a", "b"]).await;
    let before = world.store.kept().await.unwrap();
    let World { _folder: folder, store } = world;
    drop(store);
    let db = rusqlite::Connection::open(folder.path().join("pinfold.db")).unwrap();
    db.execute_batch(
        "DROP INDEX job_ended; DROP INDEX session_ended;
         ALTER TABLE job DROP COLUMN bytes; ALTER TABLE session DROP COLUMN bytes;
         CREATE INDEX job_ended ON job (ended_at) WHERE state = 'ended';
         UPDATE job SET problem = NULL,
             result = '{\"artifacts\":[{\"size_bytes\":100},{\"size_bytes\":20}]}'
             WHERE job_id = 'a';
         UPDATE job SET problem = NULL, result = '{}' WHERE job_id = 'b';
         PRAGMA user_version = 3",
    )
    .unwrap();
    let problems: i64 = db
        .query_row("SELECT sum(length(request)) FROM job WHERE state = 'ended'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(db);
    let kept = Store::open(folder.path()).unwrap().kept().await.unwrap();
    let results = r#"{"artifacts":[{"size_bytes":100},{"size_bytes":20}]}{}"#.len() as u64;
    assert_eq!(kept, Kept { count: before.count, bytes: problems as u64 + results + 120 });
}
