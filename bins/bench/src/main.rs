//! Measures a node against plain Podman, both sides in one run, and writes the figures down.

mod jobs;
mod load;
mod node;
mod report;

use clap::Parser;

/// Measure Pinfold against plain Podman on this machine.
#[derive(Debug, Parser)]
enum Bench {
    /// One job at a time, cold, alternating with `podman run --rm`; then eight clients at once.
    Jobs {
        /// Pairs of measurements.
        #[arg(long, default_value_t = 30)]
        pairs: usize,
        /// Seconds of eight clients at once.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Don't write docs/benchmarks.md.
        #[arg(long)]
        dry: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let Bench::Jobs { pairs, seconds, dry } = Bench::parse();
    let node = node::Node::start()?;
    let alternating = jobs::alternate(&node, pairs)?;
    let load = load::run(&node, 8, seconds)?;
    node.stop()?;
    let report = report::text(&alternating, &load)?;
    println!("{report}");
    if !dry {
        std::fs::write("docs/benchmarks.md", report)?;
    }
    anyhow::ensure!(load.errors == 0, "{} jobs went wrong under load", load.errors);
    anyhow::ensure!(load.before == load.after, "something leaked: {load:?}");
    Ok(())
}
