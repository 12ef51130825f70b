//! One at a time: the same command by plain Podman, as a cold job and as a warm one, in turns.

use crate::{
    node::{BASE, Node, PYTHON},
    podman,
    report::Page,
    stats::{median, millis, percentile},
};
use anyhow::ensure;
use std::{
    process::{Command, Stdio},
    time::Instant,
};

/// The design's bars.
const COLD_BAR: f64 = 0.6;
const WARM_P50_MS: f64 = 2.0;
const WARM_P99_MS: f64 = 10.0;
const WARM_TIMES_FASTER: f64 = 60.0;
const PYTHON_OVERHEAD_MS: f64 = 5.0;

const WAITING: usize = 20;
/// Warm jobs between two looks at the others, of those that wait.
const AT_A_TIME: usize = 10;
const PYTHON_WAITING: usize = 5;
const PRINT: [&str; 2] = ["-c", "print(1)"];
/// The distribution's own, as in the image, and not what a person's PATH puts in front of it.
const BARE_PYTHON: &str = "/usr/bin/python3";

#[derive(Default)]
struct Measured {
    podman: Vec<f64>,
    cold: Vec<f64>,
    warm: Vec<f64>,
    /// What the node says of the warm ones: waiting for a place, claim, run.
    parts: [Vec<f64>; 3],
    bare_python: Vec<f64>,
    warm_python: Vec<f64>,
}

pub(crate) fn run(rounds: usize) -> anyhow::Result<Page> {
    let mut measured = Measured::default();
    let cold = Node::start(&[])?;
    // The first of each pays for what others then find: it is not counted.
    for round in 0..=rounds {
        let (podman_ms, cold_ms) = (timed(|| podman::run(BASE, &["echo", "hello"]))?, {
            let mut client = cold.client()?;
            timed(|| client.run(BASE, &format!("cold-{round}"), &["echo", "hello"]).map(drop))?
        });
        if round > 0 {
            measured.podman.push(podman_ms);
            measured.cold.push(cold_ms);
        }
    }
    cold.stop()?;
    let warm = Node::start(&[(BASE, WAITING), (PYTHON, PYTHON_WAITING)])?;
    for round in 0..=rounds {
        measured.warm(&warm, round)?;
    }
    warm.stop()?;
    measured.page()
}

fn timed(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(millis(began))
}

fn bare_python() -> anyhow::Result<()> {
    let status = Command::new(BARE_PYTHON).args(PRINT).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "python3 on the host ended with {status}");
    Ok(())
}

impl Measured {
    /// A pool that is full, some jobs one after the other, and the other sides between them.
    fn warm(&mut self, node: &Node, round: usize) -> anyhow::Result<()> {
        let mut client = node.client()?;
        node.wait_until_full()?;
        let podman_ms = timed(|| podman::run(BASE, &["echo", "hello"]))?;
        for n in 0..AT_A_TIME {
            let began = Instant::now();
            let answer = client.run(BASE, &format!("warm-{round}-{n}"), &["echo", "hello"])?;
            let took = millis(began);
            ensure!(answer["stdout"] == "hello\n", "{answer}");
            ensure!(answer["timings"]["warm"] == true, "not from the pool: {answer}");
            // The very first pays for the program's own first pages.
            if round > 0 {
                self.warm.push(took);
                for (part, name) in self.parts.iter_mut().zip(["queue_ms", "sandbox_ms", "run_ms"])
                {
                    part.push(answer["timings"][name].as_f64().unwrap_or(f64::NAN));
                }
            }
        }
        node.wait_until_full()?;
        for n in 0..PYTHON_WAITING {
            let bare = timed(bare_python)?;
            let id = format!("python-{round}-{n}");
            let warm =
                timed(|| client.run(PYTHON, &id, &["python3", PRINT[0], PRINT[1]]).map(drop))?;
            if round > 0 {
                self.bare_python.push(bare);
                self.warm_python.push(warm);
            }
        }
        if round > 0 {
            self.podman.push(podman_ms);
        }
        Ok(())
    }

    fn page(&self) -> anyhow::Result<Page> {
        let mut page = Page::new("One job at a time", "just bench jobs")?;
        let (podman, cold, warm) = (median(&self.podman), median(&self.cold), median(&self.warm));
        let p99 = percentile(&self.warm, 99);
        page.table(
            "| `echo hello` | p50 ms | p99 ms | n |",
            &[
                ("`podman run --rm --network=none`, local", &self.podman),
                ("cold job over HTTP, no pool", &self.cold),
                ("warm job over HTTP", &self.warm),
            ]
            .map(|(name, values)| {
                let (p50, p99) = (median(values), percentile(values, 99));
                format!("| {name} | {p50:.2} | {p99:.2} | {} |", values.len())
            }),
        );
        let faster = podman / warm;
        page.line(&format!(
            "Of a warm job the node says (p50): waiting for a place {:.2} ms, claim {:.3} ms, run {:.2} ms.",
            median(&self.parts[0]),
            median(&self.parts[1]),
            median(&self.parts[2])
        ));
        page.bar(
            &format!("cold / podman {:.2} ≤ {COLD_BAR}", cold / podman),
            cold / podman <= COLD_BAR,
        );
        page.bar(&format!("warm p50 {warm:.2} ms ≤ {WARM_P50_MS} ms"), warm <= WARM_P50_MS);
        page.bar(&format!("warm p99 {p99:.2} ms ≤ {WARM_P99_MS} ms"), p99 <= WARM_P99_MS);
        page.bar(
            &format!("warm is {faster:.0} times faster than podman, ≥ {WARM_TIMES_FASTER}"),
            faster >= WARM_TIMES_FASTER,
        );
        let (bare, python) = (median(&self.bare_python), median(&self.warm_python));
        page.table(
            "| `python3 -c 'print(1)'` | p50 ms |",
            &[
                format!("| bare, on the host | {bare:.2} |"),
                format!("| warm job over HTTP | {python:.2} |"),
            ],
        );
        page.bar(
            &format!("warm − bare {:.2} ms ≤ {PYTHON_OVERHEAD_MS} ms", python - bare),
            python - bare <= PYTHON_OVERHEAD_MS,
        );
        Ok(page)
    }
}
