//! The agent as a real process behind the real link, without a container around it: what a command
//! prints, how it ends, what files do, and what survives the loss of the host.

use contracts::{
    ImageRef, SandboxId,
    link::{Command, End, Exited, KilledBy, Root, Stream},
};
use executor::{
    Engine, Exec, ExecEvent, Fencing, Labels, Sandbox, Shape,
    direct::{DirectConfig, DirectEngine},
};
use std::{path::Path, time::Duration};

struct Node {
    engine: DirectEngine,
    root: tempfile::TempDir,
}

impl Node {
    fn open() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self { engine: DirectEngine::open(config(root.path())).unwrap(), root }
    }

    async fn sandbox(&self) -> Sandbox {
        let image = self.engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let shape = Shape::plain(image);
        let id = SandboxId::new("s1").unwrap();
        self.engine.create(id, &shape, &Labels::new()).await.unwrap()
    }
}

fn config(root: &Path) -> DirectConfig {
    DirectConfig {
        node_id: "test".to_owned(),
        agent: env!("CARGO_BIN_EXE_sandbox-agent").into(),
        workspace_root: root.to_owned(),
        fencing: Fencing::default(),
    }
}

fn shell(script: &str, at: &Sandbox) -> Command {
    Command {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        cwd: at.places().workspace,
        stdin: false,
        output_bytes: 1000,
        flood_bytes: 1 << 20,
        sole: true,
        backstop_ms: 0,
    }
}

#[derive(Default)]
struct Told {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn finish(exec: &mut Exec) -> (Told, Exited) {
    let mut told = Told::default();
    loop {
        match exec.next().await.expect("the link holds") {
            ExecEvent::Started => {}
            ExecEvent::Output { stream: Stream::Stdout, data } => told.stdout.extend(data),
            ExecEvent::Output { stream: Stream::Stderr, data } => told.stderr.extend(data),
            ExecEvent::Output { stream: Stream::Display, .. } => panic!("it is no cell"),
            ExecEvent::Exited(exited) => return (told, exited),
        }
    }
}

async fn run(script: &str) -> (Told, Exited) {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let mut exec = sandbox.start(shell(script, &sandbox)).await.unwrap();
    let ended = finish(&mut exec).await;
    sandbox.close().await.unwrap();
    assert_eq!(node.engine.list().await.unwrap(), []);
    ended
}

#[tokio::test]
async fn the_streams_come_apart_and_the_code_is_the_programs() {
    let (told, exited) = run("echo out; echo err >&2; exit 7").await;
    assert_eq!((told.stdout.as_slice(), told.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(exited.end, End::Code(7));
}

#[tokio::test]
async fn the_environment_is_what_the_command_says_and_nothing_else() {
    let (told, _) = run("env -0 | tr '\\0' '\\n' | cut -d= -f1 | sort").await;
    let names = String::from_utf8(told.stdout).unwrap();
    // The shell itself adds PWD and friends; nothing of this test's own environment is there.
    assert!(!names.contains("CARGO"), "{names}");
}

#[tokio::test]
async fn a_signal_is_told_as_a_signal() {
    assert_eq!(run("kill -9 $$").await.1.end, End::Signal(9));
}

#[tokio::test]
async fn a_program_that_is_not_there_never_ran() {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let command = Command { argv: vec!["no-such-program".to_owned()], ..shell("", &sandbox) };
    let mut exec = sandbox.start(command).await.unwrap();
    let (_, exited) = finish(&mut exec).await;
    assert_eq!(exited.end, End::NotExecuted { errno: libc::ENOENT, step: "exec".to_owned() });
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn output_beyond_the_cap_is_counted_and_not_told() {
    let (told, exited) = run("head -c 5000 /dev/zero").await;
    assert_eq!((told.stdout.len(), exited.stdout_bytes), (1000, 5000));
}

#[tokio::test]
async fn a_flood_is_ended() {
    let (_, exited) = run("exec yes").await;
    assert_eq!(exited.killed_by, Some(KilledBy::Flood));
}

#[tokio::test]
async fn what_a_job_leaves_behind_ends_with_it() {
    let marker = format!("86{:03}", std::process::id() % 1000);
    let (_, exited) = run(&format!("(setsid sleep {marker} &) ; echo started")).await;
    assert_eq!(exited.end, End::Code(0));
    let line = format!("sleep\0{marker}\0");
    let survives = |entry: std::fs::DirEntry| {
        std::fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|text| text == line)
    };
    assert!(!std::fs::read_dir("/proc").unwrap().flatten().any(survives));
}

#[tokio::test]
async fn standard_input_reaches_the_program_and_ends() {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let command = Command { stdin: true, ..shell("cat", &sandbox) };
    let mut exec = sandbox.start(command).await.unwrap();
    sandbox.stdin(exec.id(), b"hello").await.unwrap();
    sandbox.end_stdin(exec.id()).await.unwrap();
    assert_eq!(finish(&mut exec).await.0.stdout, b"hello");
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_command_outlives_its_host_and_tells_the_next_one_everything() {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let id = sandbox.id().clone();
    let script = "echo before; while ! test -e go; do :; done; echo after; exit 3";
    let mut exec = sandbox.start(shell(script, &sandbox)).await.unwrap();
    assert_eq!(exec.next().await, Some(ExecEvent::Started));
    let go = Path::new(&sandbox.places().workspace).join("go");
    sandbox.leave().await;
    std::fs::write(go, "").unwrap();
    let sandbox = node.engine.adopt(&id).await.unwrap();
    let (_, mut exec) = sandbox.adopted_execs().pop().expect("the agent knows its command");
    let (told, exited) = finish(&mut exec).await;
    assert_eq!(told.stdout, b"before\nafter\n");
    assert_eq!(exited.end, End::Code(3));
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn files_go_in_and_come_out() {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let large: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    sandbox.put(Root::Workspace, "in/large.bin", true, &large).await.unwrap();
    let mut exec = sandbox.start(shell("cp in/large.bin out.bin", &sandbox)).await.unwrap();
    finish(&mut exec).await;
    let globs = ["*.bin".to_owned()];
    let collected = sandbox.collect(Root::Workspace, "", &globs, 10, 1 << 20).await.unwrap();
    assert_eq!(collected.files.len(), 1);
    assert_eq!(collected.files[0].data, large);
    assert!(sandbox.put(Root::Job, "../x", false, b"").await.is_err());
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_program_that_reads_nothing_can_still_be_ended() {
    let node = Node::open();
    let sandbox = node.sandbox().await;
    let deaf = Command { stdin: true, ..shell("exec sleep 600", &sandbox) };
    let mut exec = sandbox.start(deaf).await.unwrap();
    let input = vec![b'x'; 8 << 20];
    let fed = sandbox.stdin(exec.id(), &input);
    let ended = async {
        // Long after everything on the way is full.
        tokio::time::sleep(Duration::from_millis(300)).await;
        sandbox.signal(exec.id(), libc::SIGTERM).await.unwrap();
        loop {
            if let ExecEvent::Exited(exited) = exec.next().await.expect("the link holds") {
                return exited.end;
            }
        }
    };
    let both = async { tokio::join!(fed, ended) };
    let (fed, end) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("in time");
    fed.unwrap();
    assert_eq!(end, End::Signal(libc::SIGTERM));
    sandbox.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_of_a_node_that_died_early_is_found_and_removed() {
    let node = Node::open();
    let half = node.root.path().join("direct/test/half");
    std::fs::create_dir(&half).unwrap();
    let found = node.engine.list().await.unwrap();
    assert_eq!(found.len(), 1);
    node.engine.remove(&found[0].sandbox).await.unwrap();
    assert!(!half.exists());
}

#[test]
fn what_no_sandbox_could_run_with_is_told_at_the_start() {
    let root = tempfile::tempdir().unwrap();
    let deep = config(&root.path().join("x".repeat(100)));
    assert!(DirectEngine::open(deep).is_err());
    let missing = DirectConfig { agent: "no/such/agent".into(), ..config(root.path()) };
    assert!(DirectEngine::open(missing).is_err());
}
