//! The fence, seen from behind it: with the direct engine, where Landlock is the only wall.
//!
//! Each case tries something with the fence and without it, on the same kernel: what passes without
//! it and fails with it was kept by Landlock. On a kernel that has none, both pass, and the test is
//! that this is told. `just landlock-test` runs this program under kernels that have it, and says by
//! PINFOLD_LANDLOCK which version it must find, or `none`.

use contracts::{
    ImageRef, SandboxId,
    landlock::{Landlock, LandlockMode},
    limits::Limits,
    link::{Command, End, Stream},
    sandbox::NetworkPolicy,
};
use executor::{
    Engine, ExecEvent, Fencing, Labels, Shape,
    direct::{DirectConfig, DirectEngine},
};
use std::{net::TcpListener, os::unix::fs::PermissionsExt, path::PathBuf};

/// From this version on, the kernel's interface covers it.
const TRUNCATE: u32 = 3;
const TCP: u32 = 4;
const SIGNALS: u32 = 6;

struct Node {
    engine: DirectEngine,
    root: tempfile::TempDir,
}

fn engine(
    root: &tempfile::TempDir,
    fencing: Fencing,
) -> Result<DirectEngine, executor::EngineError> {
    DirectEngine::open(DirectConfig {
        node_id: "test".to_owned(),
        agent: env!("CARGO_BIN_EXE_sandbox-agent").into(),
        workspace_root: root.path().join("nodes"),
        fencing,
    })
}

impl Node {
    fn open(fencing: Fencing) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Whatever refuses shall be the fence, and not the file's owner.
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::write(root.path().join("secret"), "of the host").unwrap();
        Self { engine: engine(&root, fencing).unwrap(), root }
    }

    /// Runs a script, and says what it printed and whether it succeeded.
    async fn run(&self, script: &str) -> (String, bool, Landlock) {
        let image = self.engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let (limits, network) = (Limits::DEFAULT, NetworkPolicy::None);
        let shape = Shape { image, limits, network, inference: false, kernel: None };
        let id = SandboxId::new("s1").unwrap();
        let sandbox = self.engine.create(id, &shape, &Labels::new()).await.unwrap();
        sandbox.explain("what can be done\n").await.unwrap();
        let places = sandbox.places();
        let command = Command {
            argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("OUTSIDE".to_owned(), self.root.path().display().to_string()),
                ("TMP".to_owned(), places.tmp),
                ("JOB".to_owned(), places.job),
                ("HELP".to_owned(), places.help),
            ],
            cwd: places.workspace,
            stdin: false,
            output_bytes: 10_000,
            flood_bytes: 1 << 20,
            sole: true,
            backstop_ms: 0,
        };
        let mut exec = sandbox.start(command).await.unwrap();
        let mut output = Vec::new();
        let end = loop {
            match exec.next().await.expect("the link holds") {
                ExecEvent::Output { data, stream: Stream::Stdout | Stream::Stderr } => {
                    output.extend(data);
                }
                ExecEvent::Exited(exited) => break exited.end,
                _ => {}
            }
        };
        let landlock = sandbox.landlock();
        sandbox.close().await.unwrap();
        (String::from_utf8_lossy(&output).into_owned(), end == End::Code(0), landlock)
    }
}

fn off() -> Fencing {
    Fencing { mode: LandlockMode::Off, ..Fencing::default() }
}

/// The version of the running kernel: what the agent says, if that is what was promised.
fn version() -> Option<u32> {
    let agent = PathBuf::from(env!("CARGO_BIN_EXE_sandbox-agent"));
    let found = executor::landlock::of_kernel(&agent).unwrap();
    let found = if let Landlock::Abi(version) = found { Some(version) } else { None };
    match std::env::var("PINFOLD_LANDLOCK").as_deref() {
        Ok("none") => assert_eq!(found, None),
        Ok(promised) => assert_eq!(found, Some(promised.parse().unwrap())),
        Err(_) => {}
    }
    found
}

/// It passes without the fence; with it, from this version on, the kernel refuses it.
async fn refused_since(since: u32, script: &str) {
    let (said, passed, _) = Node::open(off()).run(script).await;
    assert!(passed, "without a fence, {script} should pass: {said}");
    let (said, passed, landlock) = Node::open(Fencing::default()).run(script).await;
    let refused = version().is_some_and(|version| version >= since);
    assert_eq!(passed, !refused, "{script} under {landlock}: {said}");
    if refused {
        let denied = ["ermission denied", "not permitted", "ross-device"]
            .iter()
            .any(|word| said.contains(word));
        assert!(denied, "{script} failed for another reason: {said}");
    }
}

/// What every program needs: the described system's cases BFS-1 and BFS-2.
const BASELINE: &str = "set -e
    test -r /etc/resolv.conf; cat /etc/resolv.conf >/dev/null
    ls /usr/lib >/dev/null
    echo a > file; mkdir folder; mv file folder/file; cat folder/file >/dev/null
    echo b > $TMP/file; mv $TMP/file folder/from-tmp; rm -r folder
    echo c > $JOB/file; cat $JOB/file >/dev/null
    printf '#!/bin/sh\\necho ran\\n' > program; chmod +x program; ./program
    cat $HELP; echo d > /dev/null; head -c 1 /dev/urandom >/dev/null; cat /proc/self/status >/dev/null";

#[tokio::test]
async fn bfs_1_a_policy_that_says_nothing_of_files_has_the_baseline() {
    for fencing in [Fencing::default(), off()] {
        let (said, passed, _) = Node::open(fencing).run(BASELINE).await;
        assert!(passed && said == "ran\nwhat can be done\n", "{said}");
    }
}

#[tokio::test]
async fn bfs_2_a_policy_that_names_one_folder_to_write_has_the_baseline_too() {
    let extra = tempfile::tempdir().unwrap();
    let fencing = Fencing { write: vec![extra.path().to_owned()], ..Fencing::default() };
    let script = format!("{BASELINE}; echo e > {}/file", extra.path().display());
    let (said, passed, _) = Node::open(fencing).run(&script).await;
    assert!(passed, "{said}");
    assert_eq!(std::fs::read_to_string(extra.path().join("file")).unwrap(), "e\n");
    // Without the policy, that folder is closed: so it was the policy that opened it.
    let (said, passed, _) = Node::open(Fencing::default()).run(&script).await;
    assert_eq!(passed, version().is_none(), "{said}");
}

#[tokio::test]
async fn the_version_that_is_enforced_is_told() {
    let (_, _, landlock) = Node::open(Fencing::default()).run("true").await;
    match version() {
        Some(version) => assert_eq!(landlock, Landlock::Abi(version)),
        None => assert!(matches!(landlock, Landlock::Missing(_)), "{landlock}"),
    }
    assert_eq!(Node::open(off()).run("true").await.2, Landlock::Off);
}

#[tokio::test]
async fn hard_refuses_at_the_start_where_there_is_none() {
    let root = tempfile::tempdir().unwrap();
    let hard = Fencing { mode: LandlockMode::Hard, ..Fencing::default() };
    match (version(), engine(&root, hard.clone())) {
        (Some(_), Ok(_)) => assert!(Node::open(hard).run("true").await.1),
        (None, Err(error)) => assert_eq!(error.phase(), "landlock"),
        (version, opened) => panic!("{version:?}, and it opened: {}", opened.is_ok()),
    }
}

#[tokio::test]
async fn files_beyond_the_policy_are_closed() {
    for script in [
        "cat $OUTSIDE/secret",
        "ls $OUTSIDE",
        "echo mine > $OUTSIDE/new",
        "echo mine >> $OUTSIDE/secret",
        "rm $OUTSIDE/secret",
        "mkdir $OUTSIDE/folder",
        "ln -s a $OUTSIDE/link",
        "mv $OUTSIDE/secret taken",
        "ln $OUTSIDE/secret taken",
        "echo mine > $HELP",
        "cp /bin/sh $OUTSIDE/sh",
        "echo mine > /proc/self/comm",
        // By a way that begins inside.
        "ln -s $OUTSIDE/secret s; cat s",
        "cat ../../../../../secret",
        "cd $OUTSIDE; cat ./secret",
        "cat /proc/self/root$OUTSIDE/secret",
    ] {
        refused_since(1, script).await;
    }
}

#[tokio::test]
async fn a_file_beyond_the_policy_cant_be_cut() {
    refused_since(TRUNCATE, "truncate -s 0 $OUTSIDE/secret").await;
}

#[tokio::test]
async fn other_processes_are_out_of_reach() {
    let me = std::process::id();
    refused_since(1, &format!("cat /proc/{me}/environ >/dev/null")).await;
    refused_since(1, &format!("readlink /proc/{me}/fd/1")).await;
    refused_since(SIGNALS, &format!("kill -0 {me}")).await;
}

#[tokio::test]
async fn no_port_can_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("busybox nc 127.0.0.1 {port} -e /bin/true");
    refused_since(TCP, &connect).await;
    // Listens until its time is up, which is 143.
    drop(listener);
    let listen = format!("busybox timeout 1 busybox nc -l -p {port}; test $? = 143");
    refused_since(TCP, &listen).await;
}

#[tokio::test]
async fn a_child_and_a_new_session_stay_behind_the_fence() {
    refused_since(1, "sh -c 'sh -c \"cat $OUTSIDE/secret\"'").await;
    refused_since(1, "setsid sh -c 'cat $OUTSIDE/secret' 2>&1").await;
}
