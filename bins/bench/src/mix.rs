//! Everything that jobs do, for a long while, below saturation: nothing may grow.

use crate::{
    footprint::Footprint,
    node::{BASE, Client, Node, PYTHON},
    report::Page,
    stats::median,
    usage,
};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WAITING: usize = 8;
const PYTHON_WAITING: usize = 2;
const CLIENTS: usize = 2;
/// Between two jobs of a client.
const PAUSE: Duration = Duration::from_millis(300);
const SAMPLE: Duration = Duration::from_secs(10);
/// By which the median of the last quarter may exceed that of the second.
const GROWTH: f64 = 1.1;

struct Sample {
    node_bytes: f64,
    service_bytes: f64,
    open_files: f64,
}

/// A job and what has to become of it.
fn job(n: usize) -> (Value, &'static str) {
    let sh = |script: &str| json!({"image": BASE, "command": ["sh", "-c", script]});
    match n % 8 {
        0 => (sh("exit 3"), "failed"),
        1 => (sh("head -c 1000000 /dev/zero | tr '\\0' x"), "completed"),
        2 => (sh("head -c 100000 /dev/urandom > $CYNODE_ARTIFACTS_DIR/a"), "completed"),
        3 => {
            let mut slow = sh("sleep 60");
            slow["timeout_seconds"] = json!(1);
            (slow, "timeout")
        }
        4 => (json!({"image": PYTHON, "command": ["python3", "-c", "print(1)"]}), "completed"),
        5 => (sh("sleep 100 & (setsid sleep 100 &) ; echo $$"), "completed"),
        6 => {
            let mut fed = sh("cat");
            fed["stdin"] = json!("hello");
            (fed, "completed")
        }
        _ => (json!({"image": BASE, "command": ["/does/not/exist"]}), "failed"),
    }
}

pub(crate) fn run(page: &mut Page, time: Duration, service: u32) -> anyhow::Result<()> {
    let waiting = WAITING + PYTHON_WAITING;
    let node = Node::start(&[(BASE, WAITING), (PYTHON, PYTHON_WAITING)])?;
    // A first round of everything, so that what is made once is there.
    let mut first = node.client()?;
    (0..16).try_for_each(|n| check(&mut first, "first", n))?;
    drop(first);
    node.wait_until_full()?;
    let before = Footprint::settled(&node, waiting)?;
    let began = Instant::now();
    let worker = |worker: usize| {
        let mut client = node.client()?;
        let mut n = 0;
        while began.elapsed() < time {
            check(&mut client, &format!("mix-{worker}"), n)?;
            n += 1;
            std::thread::sleep(PAUSE);
        }
        anyhow::Ok(n)
    };
    let worker = &worker;
    let (jobs, samples) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || worker(n))).collect();
        let mut samples = Vec::new();
        while began.elapsed() < time {
            std::thread::sleep(SAMPLE.min(time));
            samples.push(Sample::now(&node, service)?);
        }
        let jobs: anyhow::Result<usize> =
            clients.into_iter().map(|client| client.join().ok().context("a panic")?).sum();
        anyhow::Ok((jobs?, samples))
    })?;
    node.wait_until_full()?;
    let after = Footprint::settled(&node, waiting)?;
    node.stop()?;
    page.section(&format!("A mix of jobs for {} minutes", time.as_secs() / 60));
    page.line(&format!(
        "{jobs} jobs by {CLIENTS} clients that pause {} ms between two: failing, flooding, with artifacts, past their \
         deadline, Python, leaving daemons behind, fed by stdin, not there at all. Every answer is checked.",
        PAUSE.as_millis()
    ));
    page.footprints(&before, &after);
    page.bar("nothing left", before == after);
    flat(page, "memory of worker-api, MiB", &samples, |s| s.node_bytes / f64::from(1 << 20));
    flat(page, "memory of Podman's service, MiB", &samples, |s| {
        s.service_bytes / f64::from(1 << 20)
    });
    flat(page, "open files of worker-api", &samples, |s| s.open_files);
    Ok(())
}

fn check(client: &mut Client, name: &str, n: usize) -> anyhow::Result<()> {
    let (sandbox, status) = job(n);
    let answer = client.answer(&format!("{name}-{n}"), &sandbox)?;
    ensure!(answer["status"] == status, "a job that should be {status}: {answer}");
    Ok(())
}

impl Sample {
    fn now(node: &Node, service: u32) -> anyhow::Result<Self> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", node.pid()))?.count();
        Ok(Self {
            node_bytes: usage::resident(node.pid())? as f64,
            service_bytes: usage::resident(service)? as f64,
            open_files: files as f64,
        })
    }
}

fn flat(page: &mut Page, what: &str, samples: &[Sample], of: impl Fn(&Sample) -> f64) {
    let values: Vec<f64> = samples.iter().map(of).collect();
    let quarter = |n: usize| median(&values[values.len() * n / 4..values.len() * (n + 1) / 4]);
    let quarters: Vec<String> = (0..4).map(|n| format!("{:.1}", quarter(n))).collect();
    page.bar(
        &format!("{what}, median of each quarter: {}", quarters.join(", ")),
        quarter(3) <= quarter(1) * GROWTH,
    );
}
