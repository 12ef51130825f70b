//! Kernels behind the real link, without a container around them: what a cell prints, how it ends, and
//! what a kernel that breaks the rules can break.

use contracts::{
    ImageRef, SandboxId,
    link::{
        Command, End, Exited, KilledBy, Stream,
        kernel::{Cell, Input, KernelEnd},
    },
};
use executor::{
    Engine, Exec, ExecEvent, Fencing, Labels, Sandbox, Shape,
    direct::{DirectConfig, DirectEngine},
};

/// As small as a driver can be.
const DRIVER: &str = r#"
while IFS= read -r -d '' word <&3 && IFS= read -r -d '' first <&3 && IFS= read -r -d '' second <&3; do
  case $word in
    env) export "$first=$second" ;;
    cell) id=${first%% *}; eval "$second"; echo "done $id $?" >&4 ;;
  esac
done
"#;

struct Node {
    engine: DirectEngine,
    sandbox: Sandbox,
    _root: tempfile::TempDir,
}

impl Node {
    async fn with_kernel() -> Self {
        let root = tempfile::tempdir().unwrap();
        let engine = DirectEngine::open(DirectConfig {
            node_id: "test".to_owned(),
            agent: env!("CARGO_BIN_EXE_sandbox-agent").into(),
            workspace_root: root.path().to_owned(),
            fencing: Fencing::default(),
        });
        let engine = engine.unwrap();
        let image = engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let shape = Shape::plain(image);
        let id = SandboxId::new("s1").unwrap();
        let sandbox = engine.create(id, &shape, &Labels::new()).await.unwrap();
        let node = Self { engine, sandbox, _root: root };
        node.start(&["bash", "-c", DRIVER]).await;
        node
    }

    async fn start(&self, argv: &[&str]) {
        let command = command(argv, &self.sandbox);
        self.sandbox.start_kernel("k", command).await.unwrap();
    }

    async fn begin(&self, code: &str) -> Exec {
        self.sandbox.start_cell(cell(code)).await.unwrap()
    }

    async fn run(&self, code: &str) -> (Told, Exited) {
        finish(&mut self.begin(code).await).await
    }

    async fn close(self) {
        self.sandbox.close().await.unwrap();
    }
}

fn command(argv: &[&str], at: &Sandbox) -> Command {
    Command {
        argv: argv.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        cwd: at.places().workspace,
        stdin: false,
        output_bytes: 10,
        flood_bytes: 1000,
        sole: false,
        backstop_ms: 0,
    }
}

fn cell(code: &str) -> Cell {
    Cell {
        kernel: "k".to_owned(),
        dialect: "bash".to_owned(),
        name: "k/c".to_owned(),
        code: code.to_owned(),
        env: vec![("GIVEN".to_owned(), "given".to_owned())],
        rich: true,
        input: Input::None,
        output_bytes: 1000,
        display_bytes: 100,
        flood_bytes: 1 << 20,
        backstop_ms: 0,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    stdout: String,
    stderr: String,
    display: String,
}

async fn finish(exec: &mut Exec) -> (Told, Exited) {
    let mut told = Told::default();
    loop {
        match exec.next().await.expect("the link holds") {
            ExecEvent::Started => {}
            ExecEvent::Output { stream, data } => {
                let to = match stream {
                    Stream::Stdout => &mut told.stdout,
                    Stream::Stderr => &mut told.stderr,
                    Stream::Display => &mut told.display,
                };
                to.push_str(&String::from_utf8(data).unwrap());
            }
            ExecEvent::Exited(exited) => return (told, exited),
        }
    }
}

#[tokio::test]
async fn a_cell_has_its_own_output_and_the_kernel_keeps_its_state() {
    let node = Node::with_kernel().await;
    let (told, exited) =
        node.run("x=1; echo out $GIVEN; echo err >&2; echo display {} >&4; false").await;
    let expected = Told {
        stdout: "out given\n".to_owned(),
        stderr: "err\n".to_owned(),
        display: "{}\n".to_owned(),
    };
    assert_eq!((told, exited.end), (expected, End::Code(1)));
    let (told, exited) = node.run("echo $x").await;
    assert_eq!((told.stdout.as_str(), exited.end), ("1\n", End::Code(0)));
    node.close().await;
}

#[tokio::test]
async fn what_background_work_writes_between_cells_is_nobodys() {
    let node = Node::with_kernel().await;
    node.run("(while [ ! -e go ]; do sleep 0.01; done; echo late; touch gone) &").await;
    let script = "touch go; while [ ! -e gone ]; do sleep 0.01; done";
    let command = command(&["sh", "-c", script], &node.sandbox);
    finish(&mut node.sandbox.start(command).await.unwrap()).await;
    assert_eq!(node.run("echo next").await.0.stdout, "next\n");
    node.close().await;
}

#[tokio::test]
async fn a_kernel_that_says_what_no_driver_says_is_killed() {
    for junk in ["echo junk >&4", "echo done 99 0 >&4", "exec 4>&-"] {
        let node = Node::with_kernel().await;
        let (_, exited) = node.run(&format!("{junk}; sleep 60")).await;
        let end = End::Kernel { end: KernelEnd::Protocol, ran: true };
        assert_eq!(exited.end, end, "{junk}");
        // It was told: now there is none.
        assert_eq!(node.run("echo").await.1.end, End::NoKernel);
        node.close().await;
    }
}

#[tokio::test]
async fn the_end_of_a_kernel_is_told_once() {
    let node = Node::with_kernel().await;
    let (told, exited) = node.run("echo last words; exit 3").await;
    assert_eq!(told.stdout, "last words\n");
    assert_eq!(exited.end, End::Kernel { end: KernelEnd::Code(3), ran: true });
    node.start(&["bash", "-c", "exit 4"]).await;
    let ends = [node.run("echo").await.1.end, node.run("echo").await.1.end];
    // Whether it died before the cell came or with it is a matter of microseconds.
    let end = KernelEnd::Code(4);
    assert!([true, false].map(|ran| End::Kernel { end, ran }).contains(&ends[0]), "{ends:?}");
    assert_eq!(ends[1], End::NoKernel);
    node.start(&["no-such-program"]).await;
    assert!(matches!(node.run("echo").await.1.end, End::NotExecuted { errno: 2, .. }));
    node.close().await;
}

#[tokio::test]
async fn a_flood_is_interrupted_and_then_killed() {
    let node = Node::with_kernel().await;
    let (told, exited) = node.run("trap '' INT; while :; do echo 0123456789; done").await;
    assert_eq!(told.stdout.len(), 1000);
    assert_eq!(exited.killed_by, Some(KilledBy::Flood));
    assert_eq!(exited.end, End::Kernel { end: KernelEnd::Signal(9), ran: true });
    node.close().await;
}

#[tokio::test]
async fn results_beyond_their_room_are_counted_and_left_out() {
    let node = Node::with_kernel().await;
    let code = "echo display $(printf 'x%.0s' {1..200}) >&4; echo display small >&4";
    let (told, exited) = node.run(code).await;
    assert_eq!((told.display.as_str(), exited.display_bytes), ("small\n", 207));
    node.close().await;
}

#[tokio::test]
async fn a_cell_outlives_its_host() {
    let node = Node::with_kernel().await;
    node.run("x=kept").await;
    let mut exec = node.begin("echo begun; sleep 0.3; echo ended; echo display {} >&4").await;
    while !matches!(exec.next().await, Some(ExecEvent::Output { .. })) {}
    node.sandbox.leave().await;
    let sandbox = node.engine.adopt(&SandboxId::new("s1").unwrap()).await.unwrap();
    assert_eq!(sandbox.adopted_kernels(), ["k"]);
    let mut cells = sandbox.adopted_execs();
    cells.sort_by_key(|(status, _)| status.exec);
    let names: Vec<_> = cells.iter().map(|(status, _)| status.cell.as_deref()).collect();
    assert_eq!(names, [Some("k/c"), Some("k/c")]);
    let (told, exited) = finish(&mut cells[1].1).await;
    assert_eq!((told.stdout.as_str(), told.display.as_str()), ("begun\nended\n", "{}\n"));
    assert_eq!(exited.end, End::Code(0));
    let mut next = sandbox.start_cell(cell("echo $x")).await.unwrap();
    assert_eq!(finish(&mut next).await.0.stdout, "kept\n");
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn what_one_cell_does_not_read_is_not_for_the_next() {
    let node = Node::with_kernel().await;
    let read = |input| Cell { input, ..cell("while read -r line; do echo \"<$line>\"; done") };
    for (given, printed) in [("one\ntwo\n", "<one>\n<two>\n"), ("three\n", "<three>\n")] {
        let mut exec = node.sandbox.start_cell(read(Input::Given)).await.unwrap();
        node.sandbox.stdin(exec.id(), given.as_bytes()).await.unwrap();
        node.sandbox.end_stdin(exec.id()).await.unwrap();
        assert_eq!(finish(&mut exec).await.0.stdout, printed);
        // Between them: one that leaves something, and one that is given nothing.
        let mut exec = node
            .sandbox
            .start_cell(Cell { input: Input::Open, ..cell("read -r x") })
            .await
            .unwrap();
        node.sandbox.stdin(exec.id(), b"read\nleft\n").await.unwrap();
        finish(&mut exec).await;
        let mut exec = node.sandbox.start_cell(read(Input::None)).await.unwrap();
        assert_eq!(finish(&mut exec).await.0.stdout, "");
    }
    node.close().await;
}
