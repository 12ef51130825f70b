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
const TURNS: usize = 10;
/// Pairs at the beginning of a turn that are not counted.
const WARM_UP: usize = 100;
/// Streams are fewer: each takes milliseconds.
const CALLS_PER_STREAM: usize = 20;

/// Its place among the hops.
const OURS: usize = 1;

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
        let (tcp, unix) = (Behind::Tcp(upstream.address), Behind::Unix(upstream.socket.clone()));
        let copier = Copier::start(upstream.address)?;
        let programs = [
            Hop::thread("nothing", upstream.address),
            Hop::proxy(program, &tcp)?,
            Hop::nginx(&tcp)?,
            Hop::proxy(program, &unix)?,
            Hop::nginx(&unix)?,
        ];
        let hops: Vec<_> = programs.iter().chain([&copier.hop]).collect();
        let mut direct = Client::new(upstream.address)?;
        let mut clients = Vec::new();
        for hop in &hops {
            clients.push(Client::new(hop.address)?);
        }
        let named = |hop: &&Hop| Beside { name: hop.name, ..Beside::default() };
        let mut measured: Vec<_> = hops.iter().map(named).collect();
        let (plain, stream) = (request(""), request("?frames=3&gap_us=1000"));
        for _ in 0..TURNS {
            for (client, beside) in clients.iter_mut().zip(&mut measured) {
                let mut call = |client: &mut Client| client.call(&plain);
                Pairs::default().add(&mut direct, client, WARM_UP, &mut call)?;
                beside.calls.add(&mut direct, client, pairs / TURNS, &mut call)?;
                let mut call = |client: &mut Client| client.first_data(&stream);
                let pairs = pairs / TURNS / CALLS_PER_STREAM;
                beside.first.add(&mut direct, client, pairs, &mut call)?;
            }
        }
        drop((direct, clients));
        copier.join()?;
        drop(programs);
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
        let first = percentile(&ours.first.added(), 99);
        page.bar(
            &format!("first data of a stream {first:.0} µs later (p99) ≤ {FIRST_BYTE_US} µs"),
            first <= FIRST_BYTE_US,
        );
    }
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
