//! For a while: as much as the machine gives, then a mix of everything, then nothing at all.

use crate::{
    footprint::Footprint,
    mix,
    node::{BASE, Node},
    podman,
    report::Page,
    stats::median,
    usage::{self, Usage},
};
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

const WAITING: usize = 20;
const CLIENTS: usize = 8;
/// Plain Podman is tried at each, for a short while, and measured at the best.
const PARALLEL: [usize; 3] = [2, 4, 8];
const TRIAL: Duration = Duration::from_secs(10);
const SUSTAINED_BAR: f64 = 1.3;
const IDLE_BAR: f64 = 0.01;
const IDLE: Duration = Duration::from_secs(60);
const AGENT_BYTES: u64 = 8 << 20;

pub(crate) struct Times {
    pub(crate) sustained: Duration,
    pub(crate) mixed: Duration,
}

pub(crate) fn run(times: &Times, container_host: &str) -> anyhow::Result<Page> {
    let service = usage::service(container_host)?;
    let mut page = Page::new("For a while", "just bench soak")?;
    let node = Node::start(&[(BASE, WAITING)])?;
    idle(&mut page, &node, service)?;
    node.stop()?;
    sustained(&mut page, times.sustained, service)?;
    mix::run(&mut page, times.mixed, service)?;
    Ok(page)
}

fn idle(page: &mut Page, node: &Node, service: u32) -> anyhow::Result<()> {
    let before = Usage::now(node.pid(), service)?;
    std::thread::sleep(IDLE);
    let used = Usage::now(node.pid(), service)?.since(before);
    let share = |seconds: f64| seconds / IDLE.as_secs_f64();
    let agents: Vec<f64> = usage::agents()?.into_iter().map(|bytes| bytes as f64).collect();
    ensure!(agents.len() == WAITING, "{} agents are there", agents.len());
    page.section(&format!(
        "{WAITING} waiting sandboxes and nothing to do, for {} s",
        IDLE.as_secs()
    ));
    page.table(
        "| | % of a core |",
        &[
            format!("| worker-api | {:.2} |", share(used.node) * 100.0),
            format!("| Podman's service | {:.2} |", share(used.service + used.children) * 100.0),
            format!("| everything else on the machine | {:.2} |", share(used.rest()) * 100.0),
        ],
    );
    let whole = share(used.node + used.service + used.children);
    page.bar(
        &format!("the node, Podman included: {:.2} % ≤ 1 %", whole * 100.0),
        whole <= IDLE_BAR,
    );
    let agent = median(&agents);
    page.bar(
        &format!("an agent's resident memory: {:.1} MiB ≤ 8 MiB", agent / f64::from(1 << 20)),
        agent <= AGENT_BYTES as f64,
    );
    Ok(())
}

fn sustained(page: &mut Page, time: Duration, service: u32) -> anyhow::Result<()> {
    let mut tried = Vec::new();
    for parallel in PARALLEL {
        tried.push((parallel, plain(parallel, TRIAL)?));
    }
    let (best, _) = tried.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).context("tried")?;
    let before = usage::machine()?;
    let podman = plain(best, time)?;
    let podman_cpu = (usage::machine()? - before) / (podman * time.as_secs_f64());
    page.section(&format!("As many jobs as it gives, for {} s", time.as_secs()));
    page.line("`sh -c 'echo $CYNODE_JOB_ID'` over HTTP, every answer checked; CPU is of the whole machine.");
    let mut rows = vec![format!(
        "| `podman run --rm`, local, parallel {best} | {podman:.1} | {:.0} | | | | |",
        podman_cpu * 1000.0
    )];
    let mut rates = Vec::new();
    for (name, waiting) in [("cold jobs", 0), ("with a pool of 20", WAITING)] {
        let node = Node::start(&[(BASE, waiting)])?;
        let before = Footprint::settled(&node, waiting)?;
        let used = Usage::now(node.pid(), service)?;
        let began = Instant::now();
        let jobs = ours(&node, time)?;
        let rate = jobs as f64 / began.elapsed().as_secs_f64();
        node.wait_until_full()?;
        let after = Footprint::settled(&node, waiting)?;
        let used = Usage::now(node.pid(), service)?.since(used);
        node.stop()?;
        ensure!(before == after, "something leaked: {before:?}, {after:?}");
        let each = |seconds: f64| format!("{:.0}", seconds * 1000.0 / jobs as f64);
        rows.push(format!(
            "| {name}, {CLIENTS} clients | {rate:.1} | {} | {} | {} | {} | {} |",
            each(used.machine),
            each(used.node),
            each(used.service),
            each(used.children),
            each(used.rest())
        ));
        rates.push(rate);
    }
    page.table(
        "| | jobs/s | CPU ms a job | worker-api | Podman's service | its children | the rest |",
        &rows,
    );
    for (name, rate) in ["cold", "with a pool"].iter().zip(rates) {
        let ratio = rate / podman;
        page.bar(&format!("{name}: {ratio:.2} × ≥ {SUSTAINED_BAR} ×"), ratio >= SUSTAINED_BAR);
    }
    Ok(())
}

/// Containers a second.
fn plain(parallel: usize, time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let ran: anyhow::Result<Vec<usize>> = std::thread::scope(|scope| {
        let worker = || {
            let mut ran = 0;
            while began.elapsed() < time {
                podman::run(BASE, &["sh", "-c", "echo hello"])?;
                ran += 1;
            }
            Ok(ran)
        };
        let workers: Vec<_> = (0..parallel).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().ok().context("a panic")?).collect()
    });
    Ok(ran?.iter().sum::<usize>() as f64 / began.elapsed().as_secs_f64())
}

fn ours(node: &Node, time: Duration) -> anyhow::Result<usize> {
    let began = Instant::now();
    let worker = |worker: usize| {
        let mut client = node.client()?;
        let mut ran = 0;
        while began.elapsed() < time {
            let id = format!("soak-{worker}-{ran}");
            let answer = client.run(BASE, &id, &["sh", "-c", "echo $CYNODE_JOB_ID"])?;
            ensure!(answer["stdout"] == format!("{id}\n"), "{answer}");
            ran += 1;
        }
        Ok(ran)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || worker(n))).collect();
        workers.into_iter().map(|worker| worker.join().ok().context("a panic")?).sum()
    })
}
