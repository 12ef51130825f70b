//! Landlock: what it closes, and what is told where it is not there.

use crate::{
    node::{Node, binaries},
    world::{PYTHON, World},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::process::Command;

/// What the agent finds on this host, in the words of a result.
fn of_kernel() -> String {
    let asked = Command::new(binaries().join("sandbox-agent")).arg("landlock").output();
    let found: Value = serde_json::from_slice(&asked.expect("it runs").stdout).expect("JSON");
    match found["Abi"].as_u64() {
        Some(version) => format!("abi {version}"),
        None => "none".to_owned(),
    }
}

fn told(world: &World) -> String {
    let result = world.last().json();
    assert_eq!(world.last().status, 200, "{result}");
    result["isolation"]["landlock"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

#[given(expr = "a node with Landlock {string}")]
async fn with_mode(world: &mut World, mode: String) {
    world.settings.push(("LANDLOCK".to_owned(), mode));
    world.start().await;
}

#[given("a node with containers")]
async fn with_containers(world: &mut World) {
    world.start().await;
}

#[given("a node without containers")]
async fn without_containers(world: &mut World) {
    world.without_containers();
    // The folder that a policy may open; see the case BFS-2.
    let opened = world.folder.path().join("opened");
    std::fs::create_dir(&opened).expect("a folder");
    world.settings.push(("LANDLOCK_WRITE".to_owned(), opened.display().to_string()));
    world.start().await;
}

#[given("a kernel without Landlock")]
fn kernel_without(world: &mut World) {
    world.kernel_has_no_landlock = true;
}

#[when(expr = "a node without containers is started with Landlock {string}")]
async fn started_with(world: &mut World, mode: String) {
    world.without_containers();
    world.settings.push(("LANDLOCK".to_owned(), mode));
    let ended = world.program().output().await.expect("worker-api starts");
    assert!(!ended.status.success());
    world.notes = vec![String::from_utf8_lossy(&ended.stderr).into_owned()];
}

#[then(expr = "it ends at once, and says {string}")]
fn ended_saying(world: &mut World, text: String) {
    assert!(world.notes[0].contains(&text), "{}", world.notes[0]);
}

#[then("the node said at its start that jobs run WITHOUT ANY SANDBOX")]
fn said(world: &mut World) {
    let words = &world.node().first_words;
    assert!(words.iter().any(|line| line.contains("WITHOUT ANY SANDBOX")), "{words:#?}");
}

#[when(expr = "the dispatcher runs {string} beside a file of the host")]
async fn runs_beside(world: &mut World, script: String) {
    let beside = world.folder.path().join("beside");
    std::fs::create_dir(&beside).expect("a folder");
    std::fs::write(beside.join("file"), "of the host").expect("a file");
    let env = json!({"BESIDE": beside.display().to_string()});
    let job = world.script(&script, json!({"env": env}));
    world.run(job).await;
}

/// Where the kernel has no Landlock, it must pass: else something else forbids it, and the scenario
/// proves nothing of Landlock.
#[then("Landlock forbade it, where the kernel has it")]
fn forbidden(world: &mut World) {
    let (told, result) = (told(world), world.last().json());
    match told.starts_with("abi") {
        true => {
            assert_eq!(result["status"], "failed", "{result}");
            let stderr = result["stderr"].as_str().expect("text");
            assert!(stderr.contains("ermission denied"), "{result}");
        }
        false => assert_eq!(result["status"], "completed", "{result}"),
    }
}

#[then("the result says that Landlock is what the kernel has")]
fn as_the_kernel(world: &mut World) {
    let (told, kernel) = (told(world), of_kernel());
    assert!(told.starts_with(&kernel), "{told}, and the kernel has {kernel}");
}

#[then(expr = "the result says that Landlock is {string}")]
fn says(world: &mut World, text: String) {
    assert_eq!(told(world), text);
}

#[then("the node's metrics say the same")]
async fn metrics(world: &mut World) {
    let version = told(world).strip_prefix("abi ").map_or("0".to_owned(), str::to_owned);
    let node: &Node = world.node();
    let metrics = node.caller.get("/metrics").await.text();
    let line = format!("pinfold_landlock_abi {version}\n");
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
}

#[when(expr = "the dispatcher runs the program of the case {string}")]
async fn baseline_case(world: &mut World, case: String) {
    let mut script =
        "set -e; test -r /etc/hosts; ls /usr/lib >/dev/null; cat /proc/self/status >/dev/null
        for folder in $CYNODE_WORKSPACE_DIR $HOME $CYNODE_ARTIFACTS_DIR; do
          echo text > $folder/new; mv $folder/new $folder/moved; cat $folder/moved; rm $folder/moved
        done
        printf '#!/bin/sh\\necho ran\\n' > program; chmod +x program; ./program
        echo gone > /dev/null; head -c 1 /dev/urandom >/dev/null; test -r $PINFOLD_HELP"
            .to_owned();
    if case == "BFS-2" {
        let opened = world.folder.path().join("opened");
        script += &format!("; echo text > {}/new", opened.display());
    }
    let job = world.script(&script, json!({"image": PYTHON}));
    world.run(job).await;
}

#[then("it read what all may read, and wrote what it may write")]
fn baseline_held(world: &mut World) {
    let result = world.last().json();
    assert_eq!(result["stdout"], "text\ntext\ntext\nran\n", "{result}");
    assert_eq!(result["status"], "completed", "{result}");
}
