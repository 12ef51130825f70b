//! Measures a node against plain Podman, its sessions against another package's and its proxy against nginx, all sides
//! in one run, and writes the figures down in docs/benchmarks.

mod burst;
mod footprint;
mod jobs;
mod mix;
mod node;
mod podman;
mod proxy;
mod report;
mod sessions;
mod soak;
mod stats;
mod usage;

use clap::{Parser, Subcommand};
use std::time::Duration;

/// Measure Pinfold on this machine, beside what else would do.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print the page and don't write it.
    #[arg(long, global = true)]
    dry: bool,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// One job at a time: plain Podman, cold, and out of the pool, in turns.
    Jobs {
        #[arg(long, default_value_t = 30)]
        rounds: usize,
    },
    /// A hundred jobs at once.
    Burst {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The inference proxy's hop, beside none and beside nginx.
    Proxy {
        #[arg(long, default_value_t = 10_000)]
        pairs: usize,
    },
    /// Code in sessions, beside a bare interpreter and the llm-sandbox package, and many idle ones.
    Sessions {
        #[arg(long, default_value_t = 12)]
        rounds: usize,
        /// Open at a time, in the part about many.
        #[arg(long, default_value_t = 200)]
        sessions: usize,
        /// Only the part about many, and nothing beside another package; with --dry.
        #[arg(long, requires = "dry")]
        many: bool,
        /// Podman's socket, as the node uses it.
        #[arg(long, env = "CONTAINER_HOST")]
        container_host: String,
    },
    /// Idle, at saturation, and under a mix of jobs for long.
    Soak {
        /// Seconds at saturation.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Minutes of the mix.
        #[arg(long, default_value_t = 20)]
        minutes: u64,
        /// Podman's socket, as the node uses it.
        #[arg(long, env = "CONTAINER_HOST")]
        container_host: String,
    },
}

fn main() -> anyhow::Result<()> {
    let Arguments { dry, bench } = Arguments::parse();
    let (name, page) = match bench {
        Bench::Jobs { rounds } => ("jobs", jobs::run(rounds)?),
        Bench::Burst { rounds } => ("burst", burst::run(rounds)?),
        Bench::Proxy { pairs } => ("proxy", proxy::run(pairs)?),
        Bench::Sessions { sessions, many: true, container_host, .. } => {
            ("sessions", sessions::run_many(sessions, &container_host)?)
        }
        Bench::Sessions { rounds, sessions, container_host, .. } => {
            ("sessions", sessions::run(rounds, sessions, &container_host)?)
        }
        Bench::Soak { seconds, minutes, container_host } => {
            let times = soak::Times {
                sustained: Duration::from_secs(seconds),
                mixed: Duration::from_secs(minutes * 60),
            };
            ("soak", soak::run(&times, &container_host)?)
        }
    };
    page.finish(name, dry)
}
