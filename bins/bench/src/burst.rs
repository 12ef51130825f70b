//! A hundred at once on a pool of twenty, beside plain Podman at parallel four.

use crate::{
    footprint::Footprint,
    node::{BASE, Node},
    podman,
    report::Page,
    stats::median,
};
use anyhow::{Context, ensure};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const WAITING: usize = 20;
const JOBS: usize = 100;
const PARALLEL: usize = 4;
const BAR: f64 = 0.8;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Page> {
    let node = Node::start(&[(BASE, WAITING)])?;
    let before = Footprint::settled(&node, WAITING)?;
    let (mut podman, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        podman.push(plain()?);
        node.wait_until_full()?;
        ours.push(at_once(&node, round)?);
    }
    node.wait_until_full()?;
    let after = Footprint::settled(&node, WAITING)?;
    node.stop()?;
    ensure!(before == after, "something leaked: {before:?}, {after:?}");
    let ratios: Vec<f64> = ours.iter().zip(&podman).map(|(ours, podman)| ours / podman).collect();
    let mut page = Page::new("A burst", "just bench burst")?;
    page.line(&format!(
        "{JOBS} jobs of `echo $CYNODE_JOB_ID` at once over HTTP on a pool of {WAITING}; beside it {JOBS} \
         `podman run --rm --network=none` at parallel {PARALLEL}. Every answer is checked."
    ));
    let rows: Vec<String> = podman
        .iter()
        .zip(&ours)
        .map(|(podman, ours)| format!("| {podman:.2} | {ours:.2} | {:.2} |", ours / podman))
        .collect();
    page.table("| podman, s | the node, s | ratio |", &rows);
    let ratio = median(&ratios);
    page.bar(&format!("median ratio {ratio:.2} ≤ {BAR}, all answers right"), ratio <= BAR);
    page.footprints(&before, &after);
    Ok(page)
}

fn plain() -> anyhow::Result<f64> {
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL)
            .map(|_| {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < JOBS {
                        podman::run(BASE, &["echo", "hello"])?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().ok().context("a panic")?)
    })?;
    Ok(began.elapsed().as_secs_f64())
}

fn at_once(node: &Node, round: usize) -> anyhow::Result<f64> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..JOBS)
            .map(|n| {
                scope.spawn(move || {
                    let id = format!("burst-{round}-{n}");
                    let command = ["sh", "-c", "echo $CYNODE_JOB_ID"];
                    let answer = node.client()?.run(BASE, &id, &command)?;
                    ensure!(answer["stdout"] == format!("{id}\n"), "{answer}");
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().ok().context("a panic")?)
    })?;
    Ok(began.elapsed().as_secs_f64())
}
