//! The text that tells the code's author what its sandbox can do.

use crate::world::World;
use cucumber::{then, when};
use serde_json::json;

fn help(world: &World) -> String {
    let result = world.last().json();
    assert_eq!(result["exit_code"], 0, "{result}");
    result["stdout"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

#[when(expr = "the dispatcher runs {string} for at most {int} seconds")]
async fn runs_for(world: &mut World, script: String, seconds: u64) {
    let job = world.script(&script, json!({"timeout_seconds": seconds}));
    world.run(job).await;
}

#[when(expr = "a job that may use the model {string} and make {int} calls reads its help")]
async fn reads(world: &mut World, model: String, calls: u64) {
    let inference = json!({"models": [model], "budget": {"max_requests": calls}});
    let script = "cat $PINFOLD_HELP; echo; env";
    let job = world.script(script, json!({"use_inference": true, "inference": inference}));
    world.run(job).await;
}

#[when(expr = "a job that may fetch from {string} reads its help")]
async fn reads_with_egress(world: &mut World, host: String) {
    let egress = json!({"network_policy": "restricted", "egress": [{"host": host}]});
    let job = world.script("cat $PINFOLD_HELP", egress);
    world.run(job).await;
}

#[then(expr = "the help says {string}")]
fn says(world: &mut World, text: String) {
    let help = help(world);
    assert!(help.contains(&text), "{text:?} is not in {help}");
}

#[then(expr = "the help does not say {string}")]
fn says_not(world: &mut World, text: String) {
    let help = help(world);
    assert!(help.contains("This is a Pinfold sandbox") && !help.contains(&text), "{help}");
}

/// The text has them as a list, the environment as they are.
#[then("the help says where the clients' variables point to")]
fn says_variables(world: &mut World) {
    let help = help(world);
    let listed: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .filter(|l| l.contains("=http"))
        .collect();
    assert_eq!(listed.len(), 3, "{help}");
    for variable in listed {
        assert!(help.lines().any(|line| line == variable), "{variable} is not in {help}");
    }
}

#[then("the code's help is for one session, and nothing else was printed")]
fn of_session(world: &mut World) {
    let help = help(world);
    assert!(help.starts_with("This is a Pinfold sandbox for one session."), "{help}");
    assert!(help.contains("- the session ends after"), "{help}");
}
