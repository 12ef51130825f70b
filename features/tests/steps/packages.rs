//! Packages: registries outside, jobs that install from them, and an uplink that is cut.

use crate::{registries::Registries, world::World};
use cucumber::{given, then, when};
use serde_json::{Value, json};

const IMAGE: &str = "localhost/pinfold/installers:latest";

/// Says its argument to the gate, and prints what comes back.
const ASK: &str = "import http.client, os, sys
method, path = os.environ['ASKED'].split(' ')
connection = http.client.HTTPConnection('127.0.0.1', 11434)
connection.putrequest(method, path)
connection.endheaders()
answer = connection.getresponse()
print(answer.status, answer.read().decode())";

/// Apt for a user who may write beneath the workspace alone.
const APT: &str = "set -e
mkdir -p apt/lists/partial apt/cache/archives/partial apt/empty
key=/usr/share/keyrings/debian-archive-keyring.gpg
if [ -n \"$KEY\" ]; then key=$PWD/key.asc; echo \"$KEY\" > $key; fi
echo \"deb [signed-by=$key] http://127.0.0.1:11434/packages/debian bookworm main\" > apt/sources.list
aptly() {
  apt-get -qq -o Dir::State=$PWD/apt -o Dir::State::status=/var/lib/dpkg/status \\
    -o Dir::Cache=$PWD/apt/cache -o Dir::Etc::SourceList=$PWD/apt/sources.list \\
    -o Dir::Etc::SourceParts=$PWD/apt/empty -o APT::Sandbox::User= \"$@\" >&2
}
";

fn registries(world: &World) -> &Registries {
    world.registries.as_ref().expect("registries outside")
}

#[given("a node, and registries outside")]
pub(super) async fn node_and_registries(world: &mut World) {
    start(world, false).await;
}

#[given("a node, and an archive of Debian outside")]
async fn node_and_archive(world: &mut World) {
    start(world, true).await;
}

async fn start(world: &mut World, debian: bool) {
    let folder = debian.then(|| world.folder.path());
    let registries = Registries::start(folder).await;
    let root = format!("http://127.0.0.1:{}", registries.port);
    for (name, value) in [
        ("PACKAGES_PYPI_URL", format!("{root}/simple/")),
        ("PACKAGES_NPM_URL", format!("{root}/npm")),
        ("PACKAGES_DEBIAN_URL", if debian { format!("{root}/debian") } else { String::new() }),
    ] {
        world.settings.push((name.to_owned(), value));
    }
    world.registries = Some(registries);
    world.start().await;
}

/// The first archive that the host's own apt has.
#[given("a node with the host's own archive")]
async fn node_with_archive(world: &mut World) {
    let script =
        "apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m 1 debian$";
    let asked = tokio::process::Command::new("sh").args(["-c", script]).output().await;
    let archive = asked.expect("apt is on this host").stdout;
    let archive = String::from_utf8_lossy(&archive).trim().to_owned();
    if archive.starts_with("http") {
        world.settings.push(("PACKAGES_DEBIAN_URL".to_owned(), archive));
    }
    world.start().await;
}

/// Where the host's own pip goes is where the node goes.
#[given("a node with the host's own index")]
async fn node_with_index(world: &mut World) {
    let asked = tokio::process::Command::new("python3")
        .args(["-m", "pip", "config", "get", "global.index-url"])
        .output()
        .await
        .expect("pip is on this host");
    let index = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    if !index.is_empty() {
        world.settings.push(("PACKAGES_PYPI_URL".to_owned(), index));
    }
    world.start().await;
}

async fn run(world: &mut World, command: &[&str], env: Value, packages: &[&str]) {
    let job = world.job(json!({
        "image": IMAGE, "command": command, "env": env,
        "network_policy": "restricted", "packages": packages,
    }));
    world.run(job).await;
}

#[when(expr = "a job that may install from {string} runs pip for {string}")]
async fn pip(world: &mut World, registry: String, package: String) {
    let script = format!(
        "python3 -m pip install --quiet {package} && \
         python3 -c 'import {package} as it; print(getattr(it, \"WORD\", it.__name__))'"
    );
    run(world, &["sh", "-c", &script], json!({}), &[&registry]).await;
}

#[when(expr = "a job that may install from {string} runs npm for {string}")]
async fn npm(world: &mut World, registry: String, package: String) {
    let script =
        format!("npm install --silent {package} && node -e 'console.log(require(\"{package}\"))'");
    run(world, &["sh", "-c", &script], json!({}), &[&registry]).await;
}

#[when(expr = "a job that may install from {string} runs apt for {string}")]
async fn apt(world: &mut World, registry: String, package: String) {
    let script = format!(
        "{APT} aptly update && aptly download {package} && dpkg -x {package}_*.deb root && root/usr/bin/{package}"
    );
    // An archive of the scenario's own has its own key.
    let key = std::fs::read_to_string(world.folder.path().join("key.asc")).unwrap_or_default();
    run(world, &["sh", "-c", &script], json!({"KEY": key}), &[&registry]).await;
}

#[when(expr = "a job that may install from {string} asks the gate for {string}")]
async fn asks(world: &mut World, registry: String, request: String) {
    run(world, &["python3", "-c", ASK], json!({"ASKED": request}), &[&registry]).await;
}

#[when(expr = "a job with egress rules alone asks the gate for {string}")]
async fn asks_without(world: &mut World, request: String) {
    let job = world.job(json!({
        "image": IMAGE, "command": ["python3", "-c", ASK], "env": {"ASKED": request},
        "network_policy": "restricted", "egress": [{"host": "example.com"}],
    }));
    world.run(job).await;
}

#[when(expr = "a job without a network may install from {string}")]
async fn no_network(world: &mut World, registry: String) {
    let job = world.job(json!({"image": IMAGE, "command": ["true"], "packages": [registry]}));
    world.run(job).await;
}

#[when("a job may install from a registry that the node does not have")]
async fn no_registry(world: &mut World) {
    run(world, &["true"], json!({}), &["debian"]).await;
}

#[when("the uplink is cut")]
async fn cut(world: &mut World) {
    world.registries.as_mut().expect("registries outside").cut().await;
}

#[when("the node dies, and the uplink is cut")]
async fn dies(world: &mut World) {
    world.node.take().expect("a node").kill().await;
    cut(world).await;
    world.start().await;
}

fn stdout(world: &World) -> String {
    let result = world.last().json();
    result["stdout"].as_str().unwrap_or_else(|| panic!("no output: {result}")).trim().to_owned()
}

#[then(expr = "what was installed says {string}")]
#[then(expr = "what was installed is {string}")]
fn says(world: &mut World, word: String) {
    assert_eq!(stdout(world), word, "{}", world.last().text());
}

#[then("the install fails")]
fn fails(world: &mut World) {
    let result = world.last().json();
    assert_eq!(result["status"], "failed", "{result}");
    assert_eq!(result["stdout"], "", "{result}");
}

#[then("the registries have been asked")]
fn were_asked(world: &mut World) {
    let asked = registries(world).asked();
    assert_eq!(asked, ["GET /simple/cowsay/", "GET /files/cowsay-1.0-py3-none-any.whl"]);
}

#[then("the registries have not been asked")]
fn not_asked(world: &mut World) {
    assert_eq!(registries(world).asked(), [""; 0]);
}

#[then(expr = "the gate answers it with {int} and {string}")]
fn answered(world: &mut World, status: u16, reason: String) {
    let said = stdout(world);
    assert!(said.starts_with(&format!("{status} ")) && said.contains(&reason), "{said}");
}

#[then(expr = "the audit has a line of the package with {string}")]
async fn audit(world: &mut World, word: String) {
    let (log, job) = (world.folder.path().join("node.log"), world.job_id());
    World::until("the audit has the line", || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines()
            .any(|line| line.contains(&job) && line.contains("a package") && line.contains(&word))
    })
    .await;
}
