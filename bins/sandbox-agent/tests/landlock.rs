//! The fence, seen from behind it: with the direct engine, where Landlock is the only wall.
//!
//! Each case tries something with the fence and without it, on the same kernel: what passes without
//! it and fails with it was kept by Landlock. On a kernel that has none, both pass, and the test is
//! that this is told. `just landlock-test` runs this program under kernels that have it, and says by
//! PINFOLD_LANDLOCK which version it must find, or `none`.

use contracts::{
    ImageRef, SandboxId,
    landlock::{Landlock, LandlockMode},
    link::{Command, End},
};
use executor::{
    Engine, Fencing, Labels, Sandbox, Shape,
    direct::{DirectConfig, DirectEngine},
};
use std::{net::TcpListener, os::unix::fs::PermissionsExt, path::PathBuf};

/// From this version on, the kernel's interface covers it.
const TCP: u32 = 4;
const SIGNALS: u32 = 6;

struct Node {
    sandbox: Sandbox,
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
    async fn open(fencing: Fencing) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Whatever refuses shall be the fence, and not the file's owner.
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let engine = engine(&root, fencing).unwrap();
        let image = engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let shape = Shape::plain(image);
        let id = SandboxId::new("s1").unwrap();
        let sandbox = engine.create(id, &shape, &Labels::new()).await.unwrap();
        sandbox.explain("what can be done\n").await.unwrap();
        Self { sandbox, root }
    }

    /// Runs a script, and says what it printed and whether it succeeded.
    async fn run(&self, script: &str) -> (String, bool) {
        std::fs::write(self.root.path().join("secret"), "of the host").unwrap();
        let places = self.sandbox.places();
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
        let exec = self.sandbox.start(command).await.unwrap();
        let read = self.sandbox.read_out(exec).await.unwrap();
        let end = read.end.expect("the link holds");
        (String::from_utf8_lossy(&read.output).into_owned(), end == End::Code(0))
    }

    async fn close(self) {
        self.sandbox.close().await.unwrap();
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

/// Each passes without the fence; with it, from this version on, the kernel refuses it.
async fn refused_since(since: u32, scripts: &[&str]) {
    let (open, fenced) = (Node::open(off()).await, Node::open(Fencing::default()).await);
    let refused = version().is_some_and(|version| version >= since);
    for script in scripts {
        let (said, passed) = open.run(script).await;
        assert!(passed, "without a fence, {script} should pass: {said}");
        let (said, passed) = fenced.run(script).await;
        assert_eq!(passed, !refused, "{script}: {said}");
        if refused {
            let reasons = ["ermission denied", "not permitted", "ross-device"];
            let denied = reasons.iter().any(|word| said.contains(word));
            assert!(denied, "{script} failed for another reason: {said}");
        }
    }
    open.close().await;
    fenced.close().await;
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
        let node = Node::open(fencing).await;
        let (said, passed) = node.run(BASELINE).await;
        assert!(passed && said == "ran\nwhat can be done\n", "{said}");
        node.close().await;
    }
}

#[tokio::test]
async fn bfs_2_a_policy_that_names_one_folder_to_write_has_the_baseline_too() {
    let extra = tempfile::tempdir().unwrap();
    let script = format!("{BASELINE}; echo e > {}/file", extra.path().display());
    let fencing = Fencing { write: vec![extra.path().to_owned()], ..Fencing::default() };
    let node = Node::open(fencing).await;
    let (said, passed) = node.run(&script).await;
    assert!(passed, "{said}");
    assert_eq!(std::fs::read_to_string(extra.path().join("file")).unwrap(), "e\n");
    node.close().await;
    // Without the policy, that folder is closed: so it was the policy that opened it.
    let node = Node::open(Fencing::default()).await;
    let (said, passed) = node.run(&script).await;
    assert_eq!(passed, version().is_none(), "{said}");
    node.close().await;
}

#[tokio::test]
async fn the_version_that_is_enforced_is_told() {
    let (open, fenced) = (Node::open(off()).await, Node::open(Fencing::default()).await);
    let told = fenced.sandbox.landlock();
    match version() {
        Some(version) => assert_eq!(told, Landlock::Abi(version)),
        None => assert!(matches!(told, Landlock::Missing(_)), "{told}"),
    }
    assert_eq!(open.sandbox.landlock(), Landlock::Off);
    open.close().await;
    fenced.close().await;
}

#[tokio::test]
async fn hard_refuses_at_the_start_where_there_is_none() {
    let root = tempfile::tempdir().unwrap();
    let hard = Fencing { mode: LandlockMode::Hard, ..Fencing::default() };
    match (version(), engine(&root, hard.clone())) {
        (Some(_), Ok(_)) => {
            let node = Node::open(hard).await;
            assert!(node.run("true").await.1);
            node.close().await;
        }
        (None, Err(error)) => assert_eq!(error.phase(), "landlock"),
        (version, opened) => panic!("{version:?}, and it opened: {}", opened.is_ok()),
    }
}

#[tokio::test]
async fn files_beyond_the_policy_are_closed() {
    let scripts = [
        "cat $OUTSIDE/secret",
        "ls $OUTSIDE",
        "echo mine > $OUTSIDE/new",
        "echo mine >> $OUTSIDE/secret",
        "truncate -s 0 $OUTSIDE/secret",
        "ln $OUTSIDE/secret taken",
        "mv $OUTSIDE/secret moved",
        "mkdir $OUTSIDE/folder",
        "ln -s a $OUTSIDE/link",
        "cp /bin/sh $OUTSIDE/sh",
        "rm $OUTSIDE/secret",
        "echo mine > $HELP",
        "echo mine > /proc/self/comm",
        // By ways that begin inside.
        "ln -s $OUTSIDE/secret s && cat s; code=$?; rm -f s; exit $code",
        "cat ../../../../../secret",
        "cd $OUTSIDE; cat ./secret",
        "cat /proc/self/root$OUTSIDE/secret",
        // By others that this one starts.
        "sh -c 'sh -c \"cat $OUTSIDE/secret\"'",
        "setsid sh -c 'cat $OUTSIDE/secret' && true",
    ];
    refused_since(1, &scripts).await;
}

#[tokio::test]
async fn other_processes_are_out_of_reach() {
    let me = std::process::id();
    let (environ, maps) = (format!("cat /proc/{me}/environ"), format!("cat /proc/{me}/maps"));
    refused_since(1, &[&environ, &maps]).await;
    refused_since(SIGNALS, &[&format!("kill -0 {me}")]).await;
}

#[tokio::test]
async fn no_port_can_be_reached_or_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("busybox nc 127.0.0.1 {port} -e /bin/true");
    refused_since(TCP, &[&connect]).await;
    // It listens until its time is up, which is 143.
    drop(listener);
    let listen = format!("busybox timeout 1 busybox nc -l -p {port}; test $? = 143");
    refused_since(TCP, &[&listen]).await;
}
