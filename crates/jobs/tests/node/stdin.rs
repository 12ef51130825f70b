//! Standard input of code beside programs that read nothing.

use crate::world::{World, session};
use contracts::{
    SessionId, Version,
    code::{CellInput, ExecuteRequest, Language},
    session::{ExecRequest, SessionRequest},
};
use executor::fake::{FakeEngine, Program};
use jobs::{JobError, Node};
use std::{sync::Arc, time::Duration};

const LONG: Duration = Duration::from_secs(600);

fn id() -> SessionId {
    SessionId::new("s").unwrap()
}

/// A session in which cells wait for lines, and a program leaves so many bytes unread.
async fn beside_a_deaf_one(world: &World, bytes: usize) -> Arc<Node> {
    let node = Arc::new(world.node().await);
    let request = SessionRequest { lang: Some(Language::Python), ..session("s") };
    node.create_session(request).await.unwrap();
    for cell in ["c", "d"] {
        let code = ExecuteRequest {
            code: "input()".to_owned(),
            cell_id: Some(cell.to_owned().try_into().unwrap()),
            context: Some(cell.to_owned()),
            stdin_open: true,
            ..Default::default()
        };
        node.execute(&id(), code).await.unwrap();
    }
    let deaf = ExecRequest {
        version: Version,
        command: vec!["deaf".to_owned()],
        env: Default::default(),
        stdin: Some("x".repeat(bytes)),
        timeout_seconds: None,
    };
    let running = Arc::clone(&node);
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move { running.exec(&id(), deaf).await });
    // It reads nothing, so there is nothing of it to wait for.
    tokio::time::sleep(Duration::from_millis(300)).await;
    node
}

async fn feed(node: &Node, cell: &str, text: &str) -> Result<(), JobError> {
    let line = CellInput { text: Some(text.to_owned()), ..Default::default() };
    let (session, cell) = (id(), cell.to_owned().try_into().unwrap());
    let fed = node.cell_stdin(&session, &cell, line);
    tokio::time::timeout(Duration::from_secs(8), fed).await.expect("it is told in time")
}

#[tokio::test]
async fn a_line_reaches_code_whatever_another_program_leaves_unread() {
    for bytes in [1 << 20, 3 << 20] {
        let world = World::new(FakeEngine::new(|_| Program::runs_for(LONG)));
        let node = beside_a_deaf_one(&world, bytes).await;
        feed(&node, "c", "a line").await.unwrap();
        node.stop_all().await.unwrap();
    }
}

#[tokio::test]
async fn who_feeds_far_too_much_beside_a_deaf_program_is_told_to_come_again() {
    let world = World::new(FakeEngine::new(|_| Program::runs_for(LONG)));
    let node = beside_a_deaf_one(&world, 3 << 20).await;
    let much = "x".repeat(700 << 10);
    feed(&node, "c", &much).await.unwrap();
    let refused = feed(&node, "d", &much).await.expect_err("it is refused");
    assert_eq!(refused.problem().status, 429);
    // Nothing of it was taken, so what is smaller goes first.
    feed(&node, "d", "a line").await.unwrap();
    node.stop_all().await.unwrap();
}
