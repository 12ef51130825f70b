//! Terminals behind the real link, without a container around them.

use contracts::{
    ImageRef, SandboxId, TerminalId,
    link::{
        Command, End,
        terminal::{INPUT_BYTES, SCROLLBACK_BYTES, Size, WINDOW_BYTES},
    },
};
use executor::{
    Engine, Labels, Sandbox, Shape, TerminalEvent, TerminalEvents,
    direct::{DirectConfig, DirectEngine},
};
use std::time::Duration;

const SIZE: Size = Size { rows: 30, cols: 100 };

struct Node {
    engine: DirectEngine,
    sandbox: Sandbox,
    _root: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = DirectEngine::open(DirectConfig {
            node_id: "test".to_owned(),
            agent: env!("CARGO_BIN_EXE_sandbox-agent").into(),
            workspace_root: root.path().to_owned(),
            fencing: executor::Fencing::default(),
        });
        let engine = engine.unwrap();
        let image = engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let shape = Shape::plain(image);
        let id = SandboxId::new("s1").unwrap();
        let sandbox = engine.create(id, &shape, &Labels::new()).await.unwrap();
        Self { engine, sandbox, _root: root }
    }

    async fn start(&self, script: &str) -> TerminalEvents {
        let command = Command {
            argv: ["bash", "--norc", "-c", script].map(str::to_owned).to_vec(),
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            cwd: self.sandbox.places().workspace,
            stdin: false,
            output_bytes: 0,
            flood_bytes: 0,
            sole: false,
            backstop_ms: 0,
        };
        self.sandbox.start_terminal(id(), command, SIZE).await.unwrap()
    }

    async fn type_into(&self, text: &str) {
        self.sandbox.type_into(&id(), text.as_bytes()).await.unwrap();
    }

    async fn close(self) {
        self.sandbox.close().await.unwrap();
    }
}

fn id() -> TerminalId {
    TerminalId::new("t").unwrap()
}

/// What was written until a text came; all of it was seen.
async fn until(node: &Node, events: &mut TerminalEvents, from: &mut u64, text: &str) -> String {
    let mut written = String::new();
    while !written.contains(text) {
        match next(events).await {
            Some(TerminalEvent::Output(data)) => {
                *from += data.len() as u64;
                node.sandbox.seen_of_terminal(&id(), *from).await.unwrap();
                written.push_str(&String::from_utf8_lossy(&data));
            }
            Some(TerminalEvent::Taken(_)) => {}
            other => panic!("{other:?} after {written:?}"),
        }
    }
    written
}

async fn next(events: &mut TerminalEvents) -> Option<TerminalEvent> {
    let event = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
    event.expect("something happens")
}

async fn end(events: &mut TerminalEvents) -> End {
    loop {
        if let Some(TerminalEvent::Ended(end)) = next(events).await {
            return end;
        }
    }
}

#[tokio::test]
async fn a_program_has_a_terminal_of_its_own() {
    let node = Node::new().await;
    let mut events = node.start("tty; stty size; read -r x; echo \"<$x>\"; sleep 60").await;
    let mut from = 0;
    let told = until(&node, &mut events, &mut from, "30 100").await;
    assert!(told.contains("/dev/pts/"), "{told}");
    node.type_into("typed\r").await;
    until(&node, &mut events, &mut from, "<typed>").await;
    // As from the keyboard.
    node.type_into("\u{3}").await;
    assert_eq!(end(&mut events).await, End::Signal(2));
    node.close().await;
}

#[tokio::test]
async fn a_size_and_a_signal_reach_who_is_in_the_foreground() {
    let node = Node::new().await;
    let mut events =
        node.start("trap 'stty size' WINCH; echo begun; while :; do sleep 0.01; done").await;
    let mut from = 0;
    until(&node, &mut events, &mut from, "begun").await;
    let size = Size { rows: 5, cols: 6 };
    node.sandbox.resize_terminal(&id(), size).await.unwrap();
    until(&node, &mut events, &mut from, "5 6").await;
    node.sandbox.signal_terminal(&id(), 15).await.unwrap();
    assert_eq!(end(&mut events).await, End::Signal(15));
    node.close().await;
}

#[tokio::test]
async fn output_waits_for_a_host_that_does_not_see_it() {
    let node = Node::new().await;
    let mut events = node.start("echo begun; while :; do echo 0123456789; done").await;
    let mut bytes = 0;
    let quiet = Duration::from_millis(300);
    while let Ok(Some(TerminalEvent::Output(data))) =
        tokio::time::timeout(quiet, events.recv()).await
    {
        bytes += data.len() as u64;
    }
    assert_eq!(bytes, WINDOW_BYTES);
    node.sandbox.seen_of_terminal(&id(), 10).await.unwrap();
    let Some(TerminalEvent::Output(data)) = next(&mut events).await else { panic!("no output") };
    assert_eq!(data.len(), 10);
    node.close().await;
}

#[tokio::test]
async fn input_that_nobody_takes_is_bounded_and_holds_nothing_else_up() {
    let node = Node::new().await;
    let _events = node.start("stty -icanon; sleep 60").await;
    node.type_into(&"x\n".repeat(INPUT_BYTES as usize / 2)).await;
    node.sandbox.ping().await.unwrap();
    node.close().await;
}

#[tokio::test]
async fn a_terminal_outlives_its_host_with_the_last_of_its_output() {
    let node = Node::new().await;
    let mut events =
        node.start("read -r x; seq 100000; echo gone on; read -r x; echo \"<$x>\"").await;
    node.type_into("go\n").await;
    assert!(matches!(
        next(&mut events).await,
        Some(TerminalEvent::Output(_) | TerminalEvent::Taken(_))
    ));
    node.sandbox.leave().await;
    // What was read before the host went is at most a window: it must go on without one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sandbox = node.engine.adopt(&SandboxId::new("s1").unwrap()).await.unwrap();
    let node = Node { sandbox, ..node };
    let (status, mut events) = node.sandbox.adopted_terminals().pop().unwrap();
    assert_eq!((status.terminal, status.size, status.given), (id(), SIZE, 3));
    let mut from = status.from;
    let told = until(&node, &mut events, &mut from, "gone on").await;
    assert!(told.len() <= SCROLLBACK_BYTES && told.contains("\n99999\r\n"), "{} bytes", told.len());
    node.type_into("again\n").await;
    until(&node, &mut events, &mut from, "<again>").await;
    assert_eq!(end(&mut events).await, End::Code(0));
    node.close().await;
}

#[tokio::test]
async fn ending_a_terminal_kills_what_runs_on_it() {
    let node = Node::new().await;
    let mut events = node.start("trap '' HUP TERM; sleep 61 & echo \"pid $!.\"; wait").await;
    let told = until(&node, &mut events, &mut 0, ".").await;
    let pid = told.split(&[' ', '.'][..]).nth(1).unwrap().to_owned();
    node.sandbox.end_terminal(&id()).await.unwrap();
    assert_eq!(next(&mut events).await, None);
    for _ in 0..200 {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return node.close().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("process {pid} is still there");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let node = Node::new().await;
    let command = Command {
        argv: vec!["no-such-program".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        stdin: false,
        output_bytes: 0,
        flood_bytes: 0,
        sole: false,
        backstop_ms: 0,
    };
    let mut events = node.sandbox.start_terminal(id(), command, SIZE).await.unwrap();
    assert!(matches!(end(&mut events).await, End::NotExecuted { errno: 2, .. }));
    node.close().await;
}
