//! Sessions with libraries: the first with a set, the next with the same, and from a template. The
//! packages are those of the index that this host's own pip goes to.

use super::timed;
use crate::{
    node::{Client, Node},
    report::Page,
    stats::{median, percentile},
};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const IMAGE: &str = "localhost/pinfold/installers:latest";
const SECOND_P50_MS: f64 = 1000.0;
const WAITING: usize = 3;
const TIMES: usize = 10;
const LONGEST_BUILD: Duration = Duration::from_secs(120);

/// One small wheel that is nothing but Python, and what scripts often want, six wheels in all.
const SETS: [(&[&str], &str); 2] =
    [(&["idna"], "import idna"), (&["requests", "pyyaml"], "import requests, yaml")];

pub(super) fn run(page: &mut Page) -> anyhow::Result<()> {
    page.section("A Python session with libraries");
    let mut rows = Vec::new();
    let mut worst: f64 = 0.0;
    for (libraries, code) in SETS {
        let set = libraries.join(", ");
        let asked = json!({"lang": "python", "libraries": libraries});
        let (first, next) = one_after_another(&asked, code).with_context(|| set.clone())?;
        let from_template = from_template(libraries, code).with_context(|| set.clone())?;
        worst = worst.max(median(&next));
        for (name, times) in
            [("the first", &vec![first]), ("the next", &next), ("from a template", &from_template)]
        {
            let (p50, p99, n) = (median(times), percentile(times, 99), times.len());
            rows.push(format!("| {set}: {name} | {p50:.2} | {p99:.2} | {n} |"));
        }
    }
    page.table("| opened, until its answer | p50 ms | p99 ms | n |", &rows);
    let what = format!("the next with the same set p50 {worst:.2} ms ≤ {SECOND_P50_MS} ms");
    page.bar(&what, worst <= SECOND_P50_MS);
    page.line("Sandboxes with an interpreter wait on both sides. The first installs by pip from the registry; the next unpacks from the node's cache; from a template, that was done while it waited.");
    Ok(())
}

/// The first session with a set on a node that has none of it, and those that follow.
fn one_after_another(asked: &Value, code: &str) -> anyhow::Result<(f64, Vec<f64>)> {
    let shape = json!([{
        "image": IMAGE, "kernel": "python", "use_inference": true, "min": WAITING, "max": WAITING,
    }]);
    let mut settings = settings(WAITING);
    settings.push(("POOL_SHAPES", shape.to_string()));
    let node = Node::start_with(&settings)?;
    let mut times = Vec::new();
    for _ in 0..=TIMES {
        node.wait_until_full()?;
        times.push(open(&mut node.client()?, asked, code)?);
    }
    node.stop()?;
    let first = times.remove(0);
    Ok((first, times))
}

fn from_template(libraries: &[&str], code: &str) -> anyhow::Result<Vec<f64>> {
    let node = Node::start_with(&settings(WAITING))?;
    let template = json!({"version": 1, "libraries": libraries, "pool": {"min": WAITING}});
    let put = node.admin()?.put("/v1/templates/bench", &template)?;
    ensure!(put["status"] == "building", "{put}");
    let began = Instant::now();
    while node.admin()?.get("/v1/templates/bench")?["status"] == "building" {
        ensure!(began.elapsed() < LONGEST_BUILD, "the template is never built");
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut times = Vec::new();
    for _ in 0..TIMES {
        node.wait_until_full()?;
        times.push(open(&mut node.client()?, &json!({"template": "bench"}), code)?);
    }
    node.stop()?;
    Ok(times)
}

/// What opening took, of a session in which the libraries are.
fn open(client: &mut Client, asked: &Value, code: &str) -> anyhow::Result<f64> {
    let (opened, took) = timed(|| client.post("/sessions", asked))?;
    let id = opened["session_id"].as_str().with_context(|| opened.to_string())?;
    let path = format!("/sessions/{id}");
    let ran = client.post(&format!("{path}/execute"), &json!({"code": code}))?;
    ensure!(ran["exit_code"] == 0, "{ran}");
    client.delete(&path)?;
    Ok(took)
}

fn settings(waiting: usize) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("POOL_MAX", waiting.to_string()),
        ("POOL_MIN", "0".to_owned()),
        ("SESSION_IMAGE_PYTHON", IMAGE.to_owned()),
    ];
    let asked = Command::new("python3")
        .args(["-m", "pip", "config", "get", "global.index-url"])
        .output()
        .map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
    // Without one it is the public index, as the node has it.
    settings.extend(asked.ok().filter(|url| !url.is_empty()).map(|url| ("PACKAGES_PYPI_URL", url)));
    settings
}
