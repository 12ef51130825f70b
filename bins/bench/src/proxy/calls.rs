//! Calls one at a time, each beside a direct one: what a hop adds.

use super::{
    client::{Client, request},
    copier::Copier,
    hop::{Behind, Hop},
    upstream::Upstream,
};
use crate::{
    report::Page,
    stats::{median, percentile},
};
use std::path::Path;

/// The design's bars.
const HOP_P50_US: f64 = 60.0;
const HOP_P99_US: f64 = 100.0;
const FIRST_BYTE_US: f64 = 300.0;

/// Each hop has so many turns, so that what the machine does meanwhile falls on all.
const TURNS: usize = 20;
/// Pairs at the beginning of a turn that are not counted.
const WARM_UP: usize = 100;
/// Streams are fewer: each takes milliseconds.
const CALLS_PER_STREAM: usize = 20;

/// Their places among the hops.
const OURS: usize = 1;
const COPIER: usize = 5;

pub(crate) struct Calls {
    hops: Vec<Beside>,
}

/// One hop, and the direct calls beside its own. Microseconds, in the order of the pairs.
#[derive(Default)]
struct Beside {
    name: &'static str,
    calls: Pairs,
    first: Pairs,
}

#[derive(Default)]
struct Pairs {
    direct: Vec<f64>,
    through: Vec<f64>,
}

impl Calls {
    pub(crate) fn measure(program: &Path, pairs: usize) -> anyhow::Result<Self> {
        let upstream = Upstream::start()?;
        let mut direct = Client::new(upstream.address)?;
        let (plain, stream) = (request(""), request("?frames=3&gap_us=1000"));
        let mut measured: Vec<Beside> = Vec::new();
        for _ in 0..TURNS {
            // New ones each time: where a program happens to lie in memory is in all its figures.
            let (programs, copier) = (start(program, &upstream)?, Copier::start(upstream.address)?);
            let hops: Vec<_> = programs.iter().chain([&copier.hop]).collect();
            measured.resize_with(hops.len(), Beside::default);
            for (hop, beside) in hops.iter().zip(&mut measured) {
                beside.name = hop.name;
                let mut client = Client::new(hop.address)?;
                let mut call = |client: &mut Client| client.call(&plain);
                Pairs::default().add(&mut direct, &mut client, WARM_UP, &mut call)?;
                beside.calls.add(&mut direct, &mut client, pairs / TURNS, &mut call)?;
                let mut call = |client: &mut Client| client.first_data(&stream);
                let pairs = pairs / TURNS / CALLS_PER_STREAM;
                beside.first.add(&mut direct, &mut client, pairs, &mut call)?;
            }
            copier.join()?;
        }
        drop(direct);
        upstream.stop()?;
        Ok(Self { hops: measured })
    }

    pub(crate) fn tables(&self, page: &mut Page) {
        table(page, "A call", self.hops.iter().map(|hop| (hop.name, &hop.calls)));
        table(page, "First data of a stream", self.hops.iter().map(|hop| (hop.name, &hop.first)));
    }

    pub(crate) fn verdicts(&self, page: &mut Page) {
        let ours = &self.hops[OURS];
        let added = ours.calls.added();
        let (p50, p99) = (median(&added), percentile(&added, 99));
        page.bar(&format!("hop p50 {p50:.0} µs ≤ {HOP_P50_US} µs"), p50 <= HOP_P50_US);
        page.bar(&format!("hop p99 {p99:.0} µs ≤ {HOP_P99_US} µs"), p99 <= HOP_P99_US);
        let least = percentile(&self.hops[COPIER].calls.added(), 99);
        if least > HOP_P99_US {
            page.line(&format!(
                "  The bare copier's p99 is {least:.0} µs: no hop can be within {HOP_P99_US} µs on this machine, now."
            ));
        }
        let first = percentile(&ours.first.added(), 99);
        page.bar(
            &format!("first data of a stream {first:.0} µs later (p99) ≤ {FIRST_BYTE_US} µs"),
            first <= FIRST_BYTE_US,
        );
    }
}

fn start(program: &Path, upstream: &Upstream) -> anyhow::Result<[Hop; 5]> {
    let (tcp, unix) = (Behind::Tcp(upstream.address), Behind::Unix(upstream.socket.clone()));
    Ok([
        Hop::thread("nothing", upstream.address),
        Hop::proxy(program, &tcp)?,
        Hop::nginx(&tcp)?,
        Hop::proxy(program, &unix)?,
        Hop::nginx(&unix)?,
    ])
}

impl Pairs {
    /// The direct call is the first of every other pair.
    fn add(
        &mut self,
        direct: &mut Client,
        through: &mut Client,
        pairs: usize,
        call: &mut impl FnMut(&mut Client) -> anyhow::Result<f64>,
    ) -> anyhow::Result<()> {
        for pair in 0..pairs {
            if pair % 2 == 0 {
                self.direct.push(call(direct)?);
                self.through.push(call(through)?);
            } else {
                self.through.push(call(through)?);
                self.direct.push(call(direct)?);
            }
        }
        Ok(())
    }

    /// What the hop added, pair by pair.
    fn added(&self) -> Vec<f64> {
        self.through.iter().zip(&self.direct).map(|(through, direct)| through - direct).collect()
    }
}

fn table<'a>(page: &mut Page, what: &str, hops: impl Iterator<Item = (&'static str, &'a Pairs)>) {
    let mut count = 0;
    let rows: Vec<_> = hops
        .map(|(name, pairs)| {
            count = pairs.direct.len();
            let columns = [&pairs.direct, &pairs.through, &pairs.added()]
                .map(|values| format!("{:.0} | {:.0}", median(values), percentile(values, 99)));
            format!("| {name} | {} |", columns.join(" | "))
        })
        .collect();
    page.line(&format!("{what}, µs, {count} pairs for each:"));
    page.table("| between | direct p50 | p99 | through it p50 | p99 | added p50 | p99 |", &rows);
}
