//! One at a time: the same command by plain Podman and as a cold job, in turns.

use crate::node::{IMAGE, Node};
use anyhow::ensure;
use std::{
    process::{Command, Stdio},
    time::Instant,
};

/// Milliseconds of both sides, pair by pair.
#[derive(Debug, Default)]
pub(crate) struct Alternating {
    pub(crate) podman: Vec<f64>,
    pub(crate) cold: Vec<f64>,
}

pub(crate) fn alternate(node: &Node, pairs: usize) -> anyhow::Result<Alternating> {
    let mut client = node.client()?;
    let mut measured = Alternating::default();
    // The first of each pays for what others then find: it is not counted.
    for pair in 0..=pairs {
        let began = Instant::now();
        podman()?;
        let podman_ms = millis(began);
        let began = Instant::now();
        let stdout = client.run(&format!("pair-{pair}"), &["echo", "hello"])?;
        let cold_ms = millis(began);
        ensure!(stdout == "hello\n", "the job printed {stdout:?}");
        if pair > 0 {
            measured.podman.push(podman_ms);
            measured.cold.push(cold_ms);
        }
    }
    Ok(measured)
}

fn podman() -> anyhow::Result<()> {
    let status = Command::new("podman")
        .args(["run", "--rm", "--network=none", IMAGE, "echo", "hello"])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "podman run ended with {status}");
    Ok(())
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

impl Alternating {
    /// The median of the ratios within each pair: noise that hits both sides cancels out.
    pub(crate) fn ratio(&self) -> f64 {
        let ratios = self.cold.iter().zip(&self.podman).map(|(cold, podman)| cold / podman);
        median(&ratios.collect::<Vec<_>>())
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
