//! What the sidecar costs: the same calls straight to an upstream, through our proxy, through nginx, and through a bare copier, in turns.

mod client;
mod clock;
mod copier;
mod hop;
mod streams;
mod upstream;

use crate::{
    report::Page,
    stats::{median, percentile},
};
use anyhow::{Context, ensure};
use client::{Client, request};
use copier::Copier;
use hop::Hop;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};
use upstream::Upstream;

/// The design's bars.
const HOP_P50_US: f64 = 60.0;
const HOP_P99_US: f64 = 100.0;
const FIRST_BYTE_US: f64 = 300.0;
const CPU_TIMES_NGINX: f64 = 1.5;
const RESIDENT_MIB: f64 = 5.0;
const IMAGE_MIB: f64 = 5.0;
const HEALTHY_MS: f64 = 20.0;

/// Calls before any is counted.
const WARM_UP: usize = 200;
const STARTS: usize = 20;
const SATURATION: Duration = Duration::from_secs(3);
const SATURATION_TURNS: usize = 3;
const CONNECTIONS: usize = 16;
const STREAMS: usize = 512;
/// Twenty a second and stream, as a fast model talks.
const FRAMES: u64 = 60;
const GAP_US: u64 = 50_000;
/// A frame later than this, with so many streams on one machine with their reader, is a stall.
const STALLED_US: f64 = 250_000.0;

const MIB: f64 = (1 << 20) as f64;

/// Ours is at this place among the hops.
const OURS: usize = 1;
const NGINX: usize = 2;
/// Only for the calls one at a time: the least that a hop can cost.
const COPIER: usize = 3;

#[derive(Default)]
struct Measured {
    /// Microseconds of every call, hop by hop, in the order of the rounds.
    calls: [Vec<f64>; 4],
    first: [Vec<f64>; 4],
    per_second: [Vec<f64>; 3],
    cpu_us: [Vec<f64>; 3],
    idle_mib: [f64; 3],
    streaming_mib: [f64; 3],
    late: [Vec<f64>; 3],
    healthy_ms: [Vec<f64>; 3],
}

pub(crate) fn run(rounds: usize) -> anyhow::Result<Page> {
    let here = std::env::current_exe()?;
    let program = here.parent().context("this program is in a folder")?.join("inference-proxy");
    let upstream = Upstream::start()?;
    let start = || -> anyhow::Result<[Hop; 3]> {
        let address = upstream.address;
        Ok([Hop::direct(address), Hop::proxy(&program, address)?, Hop::nginx(address)?])
    };
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let mut measured = Measured::default();
    for _ in 0..STARTS {
        for (place, hop) in start()?.iter().enumerate() {
            measured.healthy_ms[place].push(hop.healthy.as_secs_f64() * 1000.0);
        }
    }
    let hops = start()?;
    let copier = Copier::start(upstream.address)?;
    measured.one_at_a_time([&hops[0], &hops[OURS], &hops[NGINX], &copier.hop], rounds)?;
    copier.join()?;
    for (place, hop) in hops.iter().enumerate() {
        measured.idle_mib[place] = hop.resident_bytes()? as f64 / MIB;
    }
    for _ in 0..SATURATION_TURNS {
        for (place, hop) in hops.iter().enumerate() {
            let (per_second, cpu_us) = saturated(hop)?;
            measured.per_second[place].push(per_second);
            measured.cpu_us[place].push(cpu_us);
        }
    }
    drop(hops);
    // Fresh ones, so that what they hold is the streams'.
    for (place, hop) in start()?.iter().enumerate() {
        (measured.late[place], measured.streaming_mib[place]) =
            streaming(hop).with_context(|| format!("{STREAMS} streams, {}", hop.name))?;
    }
    upstream.stop()?;
    let mut page = measured.page(&program, rounds)?;
    page.line(&format!(
        "Load average of the machine at the start: {load}. What else runs shows in the p99 of all."
    ));
    Ok(page)
}

/// Requests in a second over some connections at once, and microseconds of the hop's processor for each.
fn saturated(hop: &Hop) -> anyhow::Result<(f64, f64)> {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), hop.cpu_seconds()?);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, request) = (Client::new(hop.address)?, request(""));
                    while !stop.load(Relaxed) {
                        client.call(&request)?;
                        count.fetch_add(1, Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        sleep(SATURATION);
        stop.store(true, Relaxed);
        clients.into_iter().try_for_each(|client| client.join().ok().context("a panic")?)
    })?;
    let calls = count.load(Relaxed) as f64;
    let cpu_us = (hop.cpu_seconds()? - cpu) * 1e6 / calls;
    Ok((calls / began.elapsed().as_secs_f64(), cpu_us))
}

/// How late each frame was, and the most that was resident meanwhile.
fn streaming(hop: &Hop) -> anyhow::Result<(Vec<f64>, f64)> {
    std::thread::scope(|scope| {
        let streams = scope.spawn(|| streams::at_once(hop.address, STREAMS, FRAMES, GAP_US));
        let mut most = 0;
        while !streams.is_finished() {
            most = most.max(hop.resident_bytes()?);
            sleep(Duration::from_millis(50));
        }
        let late = streams.join().ok().context("a panic")??;
        ensure!(late.len() as u64 == STREAMS as u64 * FRAMES, "frames were lost");
        Ok((late, most as f64 / MIB))
    })
}

impl Measured {
    /// Each round asks every hop once, and another one first than the round before.
    fn one_at_a_time(&mut self, hops: [&Hop; 4], rounds: usize) -> anyhow::Result<()> {
        let mut clients = Vec::new();
        for hop in hops {
            clients.push(Client::new(hop.address)?);
        }
        let (plain, stream) = (request(""), request("?frames=3&gap_us=1000"));
        for round in 0..WARM_UP + rounds {
            for turn in 0..hops.len() {
                let place = (round + turn) % hops.len();
                let took = clients[place].call(&plain)?;
                if round >= WARM_UP {
                    self.calls[place].push(took);
                }
            }
        }
        for round in 0..rounds / 20 {
            for turn in 0..hops.len() {
                let place = (round + turn) % hops.len();
                self.first[place].push(clients[place].first_data(&stream)?);
            }
        }
        Ok(())
    }

    fn page(&self, program: &Path, rounds: usize) -> anyhow::Result<Page> {
        let mut page = Page::new("The proxy", "just bench proxy")?;
        page.line(
            "One chat call with a fixed answer, over a connection that is kept, to a scripted upstream in the bench \
             itself: straight to it, through `inference-proxy` as its image has it, and through Debian's nginx (one \
             process, keep-alive upstream, buffering off). In each round all are asked once, in turns. The bare copier is a \
             thread that reads and writes and looks at nothing: the least that one more party costs on this machine.",
        );
        self.calls_section(&mut page, rounds);
        self.saturation_section(&mut page);
        self.streams_section(&mut page);
        self.footprint_section(&mut page, program)?;
        Ok(page)
    }

    fn calls_section(&self, page: &mut Page, rounds: usize) {
        page.section("One at a time");
        let added =
            [OURS, NGINX, COPIER].map(|place| pair_by_pair(&self.calls[place], &self.calls[0]));
        let first =
            [OURS, NGINX, COPIER].map(|place| pair_by_pair(&self.first[place], &self.first[0]));
        let row = |name: &str, values: &[f64]| {
            let (p50, p99) = (median(values), percentile(values, 99));
            format!("| {name} | {p50:.0} | {p99:.0} |")
        };
        page.table(
            &format!("| µs, {rounds} rounds | p50 | p99 |"),
            &[
                row("a call, direct", &self.calls[0]),
                row("through the proxy", &self.calls[OURS]),
                row("through nginx", &self.calls[NGINX]),
                row("added by the proxy, pair by pair", &added[0]),
                row("added by nginx, pair by pair", &added[1]),
                row("added by a bare copier, pair by pair", &added[2]),
                row("first data of a stream, direct", &self.first[0]),
                row("added by the proxy, pair by pair", &first[0]),
                row("added by nginx, pair by pair", &first[1]),
                row("added by a bare copier, pair by pair", &first[2]),
            ],
        );
        let (p50, p99) = (median(&added[0]), percentile(&added[0], 99));
        page.bar(&format!("hop p50 {p50:.0} µs ≤ {HOP_P50_US} µs"), p50 <= HOP_P50_US);
        page.bar(&format!("hop p99 {p99:.0} µs ≤ {HOP_P99_US} µs"), p99 <= HOP_P99_US);
        let first = percentile(&first[0], 99);
        page.bar(
            &format!("first data of a stream {first:.0} µs later (p99) ≤ {FIRST_BYTE_US} µs"),
            first <= FIRST_BYTE_US,
        );
    }

    fn saturation_section(&self, page: &mut Page) {
        page.section(&format!("{CONNECTIONS} connections, as fast as they go"));
        let rows =
            ["direct", "inference-proxy", "nginx"].iter().enumerate().map(|(place, name)| {
                let (rate, cpu) = (median(&self.per_second[place]), median(&self.cpu_us[place]));
                format!("| {name} | {rate:.0} | {cpu:.1} |")
            });
        page.table("| | requests/s | its CPU, µs per request |", &rows.collect::<Vec<_>>());
        let pairs = self.cpu_us[OURS].iter().zip(&self.cpu_us[NGINX]);
        let ratio = median(&pairs.map(|(ours, nginx)| ours / nginx).collect::<Vec<_>>());
        page.bar(
            &format!("CPU per request {ratio:.2} × nginx ≤ {CPU_TIMES_NGINX}"),
            ratio <= CPU_TIMES_NGINX,
        );
    }

    fn streams_section(&self, page: &mut Page) {
        page.section(&format!("{STREAMS} streams at once"));
        page.line(&format!(
            "Each {FRAMES} frames, one every {} ms; every frame is checked for its number and its text.",
            GAP_US / 1000
        ));
        let rows =
            ["direct", "inference-proxy", "nginx"].iter().enumerate().map(|(place, name)| {
                let [p50, p99, most] =
                    [50, 99, 100].map(|p| percentile(&self.late[place], p) / 1000.0);
                let (frames, mib) = (self.late[place].len(), self.streaming_mib[place]);
                format!("| {name} | {frames} | {p50:.2} | {p99:.2} | {most:.1} | {mib:.1} |")
            });
        page.table(
            "| | frames, all right | sent to read p50, ms | p99 | most | its memory, MiB |",
            &rows.collect::<Vec<_>>(),
        );
        let most = percentile(&self.late[OURS], 100);
        page.bar(
            &format!("no frame lost, none later than {} ms", STALLED_US / 1000.0),
            most <= STALLED_US,
        );
    }

    fn footprint_section(&self, page: &mut Page, program: &Path) -> anyhow::Result<()> {
        page.section("Size, memory, start");
        let program_mib = std::fs::metadata(program)?.len() as f64 / MIB;
        let healthy = |place: usize| {
            let values = &self.healthy_ms[place];
            (median(values), percentile(values, 100))
        };
        let (ours, nginx) = (healthy(OURS), healthy(NGINX));
        let idle = self.idle_mib;
        page.table(
            "| | inference-proxy | nginx |",
            &[
                format!(
                    "| resident after its calls, MiB | {:.2} | {:.2} |",
                    idle[OURS], idle[NGINX]
                ),
                format!(
                    "| start to healthy, ms, median of {STARTS} | {:.1} | {:.1} |",
                    ours.0, nginx.0
                ),
                format!("| the slowest | {:.1} | {:.1} |", ours.1, nginx.1),
                format!("| program, which is its whole image, MiB | {program_mib:.2} | |"),
            ],
        );
        page.bar(
            &format!("resident {:.2} MiB ≤ {RESIDENT_MIB} MiB", idle[OURS]),
            idle[OURS] <= RESIDENT_MIB,
        );
        page.bar(
            &format!("image {program_mib:.2} MiB ≤ {IMAGE_MIB} MiB"),
            program_mib <= IMAGE_MIB,
        );
        page.bar(&format!("healthy after {:.1} ms < {HEALTHY_MS} ms", ours.0), ours.0 < HEALTHY_MS);
        Ok(())
    }
}

/// What a hop adds, pair by pair.
fn pair_by_pair(through: &[f64], direct: &[f64]) -> Vec<f64> {
    through.iter().zip(direct).map(|(through, direct)| through - direct).collect()
}
