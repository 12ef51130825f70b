//! The node killed and started again before many open sessions.

use super::{CODE, Session};
use crate::{
    node::Node,
    report::Page,
    stats::{median, millis, percentile},
};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

const TIMES: usize = 5;
/// A node that is not ready by then won't be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds from the start of the new process, one of each for each of its lives.
#[derive(Default)]
pub(super) struct Restarts {
    listens: Vec<f64>,
    ready: Vec<f64>,
    first: Vec<f64>,
    last: Vec<f64>,
    /// A cell in each of the sessions after the last start.
    each: Vec<f64>,
}

impl Restarts {
    /// Each session has run two cells before.
    pub(super) fn measure(node: &mut Node, paths: &[String]) -> anyhow::Result<Self> {
        let mut measured = Self::default();
        let (first, last) = (paths.first().context("a session")?, paths.last().context("one")?);
        for time in 0..TIMES {
            let began = node.live_again()?;
            measured.listens.push(millis(began));
            let mut client = node.client()?;
            while !client.is_ready()? {
                ensure!(began.elapsed() < PATIENCE, "it is never ready");
            }
            measured.ready.push(millis(began));
            let expected = format!("{}\n", time + 3);
            for (path, times) in [(first, &mut measured.first), (last, &mut measured.last)] {
                let mut session = Session { client: &mut client, path: path.clone() };
                ensure!(session.run(CODE)? == expected, "a session lost its state");
                times.push(millis(began));
            }
        }
        let mut client = node.client()?;
        let between = paths.get(1..paths.len().saturating_sub(1)).unwrap_or_default();
        for path in between {
            let mut session = Session { client: &mut client, path: path.clone() };
            let began = Instant::now();
            ensure!(session.run(CODE)? == "3\n", "a session lost its state");
            measured.each.push(millis(began));
        }
        Ok(measured)
    }

    pub(super) fn tell(&self, page: &mut Page, sessions: usize) {
        page.section(&format!("The node killed and started again before {sessions} open sessions"));
        let row = |(name, values): (&str, &Vec<f64>)| {
            let (p50, most) = (median(values), percentile(values, 100));
            format!("| {name} | {p50:.0} | {most:.0} | {} |", values.len())
        };
        page.table(
            "| from the start of the process, until | p50 ms | most | n |",
            &[
                ("it listens", &self.listens),
                ("`/readyz` says so", &self.ready),
                ("a cell has run in the session that was opened first", &self.first),
                ("and then in the one that was opened last", &self.last),
            ]
            .map(row),
        );
        page.line(&format!(
            "Every session had its state. A cell in each of the others after that: p50 {:.2} ms, p99 {:.2} ms.",
            median(&self.each),
            percentile(&self.each, 99),
        ));
    }
}
