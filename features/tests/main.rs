//! Runs the features against real nodes on real Podman, and ends with one line of sums.

mod dev_model;
mod http;
mod kernel;
mod node;
mod operator;
mod outside;
mod person;
mod real_model;
mod registries;
mod server;
mod steps;
mod viewer;
mod world;

use cucumber::{StatsWriter, World as _, WriterExt as _, writer};
use std::process::ExitCode;
use world::World;

/// Scenarios at a time: they wait for containers more than they compute.
const AT_A_TIME: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let writer = World::cucumber()
        .max_concurrent_scenarios(AT_A_TIME)
        .with_writer(writer::Basic::stdout().summarized())
        .fail_on_skipped()
        .after(|_, _, _, _, world| Box::pin(World::finish(world)))
        .run(concat!(env!("CARGO_MANIFEST_DIR"), "/promise"))
        .await;
    let scenarios = writer.scenarios_stats();
    let passed = scenarios.passed;
    let failed = scenarios.failed
        + scenarios.skipped
        + StatsWriter::<World>::parsing_errors(&writer)
        + StatsWriter::<World>::hook_errors(&writer);
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
