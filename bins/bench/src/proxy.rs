//! What the sidecar costs: the same calls straight to an upstream, through our proxy, through nginx, and through a bare copier, in turns.

mod calls;
mod client;
mod clock;
mod copier;
mod hop;
mod pinned;
mod streams;
mod upstream;

use crate::{
    report::Page,
    stats::{median, percentile},
};
use anyhow::{Context, ensure};
use calls::Calls;
use client::{Client, request};
use hop::{Behind, Hop};
use pinned::on_one_processor;
use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread::sleep,
    time::{Duration, Instant},
};
use upstream::Upstream;

/// The design's bars.
const CPU_TIMES_NGINX: f64 = 1.5;
const RESIDENT_MIB: f64 = 5.0;
const IMAGE_MIB: f64 = 5.0;
const HEALTHY_MS: f64 = 20.0;

const STARTS: usize = 20;
const SATURATION: Duration = Duration::from_secs(3);
const SATURATION_TURNS: usize = 5;
const CONNECTIONS: usize = 16;
const STREAMS: usize = 512;
/// Twenty a second and stream, as a fast model talks.
const FRAMES: u64 = 60;
const GAP_US: u64 = 50_000;
/// A frame later than this, with so many streams on one machine with their reader, is a stall.
const STALLED_US: f64 = 250_000.0;

const PINNED: &str = "Client, hop and upstream take turns on it, so that every instruction of the hop is in its figure, and \
                      no wait for a second processor to wake up: in a virtual machine that is up to its host, and tells \
                      of no proxy.";

const MIB: f64 = (1 << 20) as f64;

/// Ours is at this place among the hops.
const OURS: usize = 1;
const NGINX: usize = 2;

/// Hop by hop.
#[derive(Default)]
struct Measured {
    per_second: [Vec<f64>; 3],
    cpu_us: [Vec<f64>; 3],
    idle_mib: [f64; 3],
    streaming_mib: [f64; 3],
    late: [Vec<f64>; 3],
    healthy_ms: [Vec<f64>; 3],
}

pub(crate) fn run(pairs: usize) -> anyhow::Result<Page> {
    let here = std::env::current_exe()?;
    let program = here.parent().context("this program is in a folder")?.join("inference-proxy");
    let upstream = Upstream::start()?;
    let start = || -> anyhow::Result<[Hop; 3]> {
        let behind = Behind::Tcp(upstream.address);
        Ok([Hop::direct(upstream.address), Hop::proxy(&program, &behind)?, Hop::nginx(&behind)?])
    };
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let mut measured = Measured::default();
    for _ in 0..STARTS {
        for (place, hop) in start()?.iter().enumerate() {
            measured.healthy_ms[place].push(hop.healthy.as_secs_f64() * 1000.0);
        }
    }
    let pinned = on_one_processor(|| Calls::measure(&program, pairs))?;
    let placed = Calls::measure(&program, pairs)?;
    for _ in 0..SATURATION_TURNS {
        let hops = start()?;
        for (place, hop) in hops.iter().enumerate() {
            let (per_second, cpu_us) = saturated(hop)?;
            measured.per_second[place].push(per_second);
            measured.cpu_us[place].push(cpu_us);
            measured.idle_mib[place] = hop.resident_bytes()? as f64 / MIB;
        }
    }
    // Fresh ones, so that what they hold is the streams'.
    for (place, hop) in start()?.iter().enumerate() {
        (measured.late[place], measured.streaming_mib[place]) =
            streaming(hop).with_context(|| format!("{STREAMS} streams, {}", hop.name))?;
    }
    upstream.stop()?;
    let mut page = introduction()?;
    page.section("One at a time, all on one processor");
    page.line(PINNED);
    pinned.tables(&mut page);
    pinned.verdicts(&mut page);
    page.section("One at a time, where the kernel puts them");
    placed.tables(&mut page);
    measured.sections(&mut page, &program)?;
    page.line(&format!(
        "Load average of the machine at the start: {load}. What else runs shows in the p99 of all."
    ));
    Ok(page)
}

fn introduction() -> anyhow::Result<Page> {
    let mut page = Page::new("The proxy", "just bench proxy")?;
    page.line(
        "One chat call with a fixed answer, over a connection that is kept, to a scripted upstream in the bench \
         itself: straight to it, and through `inference-proxy` as its image has it, Debian's nginx (one process, \
         keep-alive upstream, buffering off), or others. A pair is a direct call and one through the hop; what a hop adds \
         is their difference, pair by pair.",
    );
    page.line(
        "With *nothing* between, both are direct: what these differ by is noise, and no hop can have less. *A bare copier* is a \
         thread of the bench that reads and writes and looks at nothing: the least that one more party costs on this \
         machine. *Unix socket behind* is how a sidecar reaches the gate.",
    );
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
    fn sections(&self, page: &mut Page, program: &Path) -> anyhow::Result<()> {
        self.saturation_section(page);
        self.streams_section(page);
        self.footprint_section(page, program)
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
