//! Providers and routes, as an operator types them.

use crate::{operator::KEY, world::World};
use cucumber::{given, then, when};

#[given("a node without sandboxes, with an admin")]
async fn a_node_with_an_admin(world: &mut World) {
    world.start_for_operators().await;
}

#[given("a provider's server that asks for its key")]
async fn a_server(world: &mut World) {
    world.operator.start_server().await;
}

#[given(expr = "the provider {string} on the default route")]
async fn on_the_default_route(world: &mut World, name: String) {
    let create = format!("provider create --name {name} --type nvidia --from-existing");
    for line in [create, format!("inference set --provider {name} --model dev-8b")] {
        types(world, line).await;
    }
}

#[when(expr = "the operator types {string}")]
pub(super) async fn types(world: &mut World, line: String) {
    let address = world.node().caller.address;
    let done = world.operator.types(address, &line).await;
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

#[when(expr = "the operator types {string} in vain")]
async fn types_in_vain(world: &mut World, line: String) {
    let address = world.node().caller.address;
    let done = world.operator.types(address, &line).await;
    assert!(!done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stdout));
}

#[then(expr = "it says that it read {string}")]
fn says_that_it_read(world: &mut World, variable: String) {
    let said = world.operator.told();
    assert!(said.contains(&format!("read {variable}")), "{said}");
}

#[then(expr = "it is told {string}")]
fn is_told(world: &mut World, text: String) {
    let told = world.operator.told();
    assert!(told.contains(&text), "{told}");
}

#[then(expr = "it prints {string}")]
fn prints(world: &mut World, text: String) {
    let printed = world.operator.printed();
    assert!(printed.contains(&text), "{printed}");
}

#[then(expr = "it does not print {string}")]
fn prints_not(world: &mut World, text: String) {
    let printed = world.operator.printed();
    assert!(!printed.contains(&text), "{printed}");
}

#[then(expr = "it prints the provider {string}, the model {string} and the version {int}")]
fn prints_the_route(world: &mut World, provider: String, model: String, version: u64) {
    let printed = world.operator.printed();
    let version = version.to_string();
    for (name, value) in [("provider", &provider), ("model", &model), ("version", &version)] {
        let line = printed.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        assert_eq!(line.map(str::trim), Some(value.as_str()), "{printed}");
    }
}

#[then("the key is in nothing that was printed")]
fn in_nothing_printed(world: &mut World) {
    let all = world.operator.everything();
    assert!(!all.is_empty() && !all.contains(KEY), "{all}");
}

#[then("the key is in no file of the node")]
fn in_no_file(world: &mut World) {
    let files = world.files();
    assert!(files.len() >= 3, "the database, its log and ours at least: {files:?}");
    for file in files {
        let bytes = std::fs::read(&file).expect("a file of the node");
        let found = bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes());
        assert!(!found, "{}", file.display());
    }
}
