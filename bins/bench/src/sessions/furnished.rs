//! Sessions with libraries: the first with a set, the next with the same, and from a template. The
//! packages are those of the registries that this host's own clients go to.

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

struct Set {
    lang: &'static str,
    libraries: &'static [&'static str],
    /// Code that needs them.
    code: &'static str,
}

/// One small wheel that is nothing but Python; what scripts often want, six wheels in all; and one
/// package of npm.
const SETS: [Set; 3] = [
    Set { lang: "python", libraries: &["idna"], code: "import idna" },
    Set { lang: "python", libraries: &["requests", "pyyaml"], code: "import requests, yaml" },
    Set { lang: "javascript", libraries: &["semver"], code: "require('semver')" },
];

pub(super) fn run(page: &mut Page) -> anyhow::Result<()> {
    page.section("A session with libraries");
    let mut rows = Vec::new();
    let mut worst: f64 = 0.0;
    for set in &SETS {
        let name = set.libraries.join(", ");
        let (first, next) = one_after_another(set).with_context(|| name.clone())?;
        let from_template = from_template(set).with_context(|| name.clone())?;
        worst = worst.max(median(&next));
        for (which, times) in
            [("the first", &vec![first]), ("the next", &next), ("from a template", &from_template)]
        {
            let (p50, p99, n) = (median(times), percentile(times, 99), times.len());
            rows.push(format!("| {name}: {which} | {p50:.2} | {p99:.2} | {n} |"));
        }
    }
    page.table("| opened, until its answer | p50 ms | p99 ms | n |", &rows);
    let what = format!("the next with the same set p50 {worst:.2} ms ≤ {SECOND_P50_MS} ms");
    page.bar(&what, worst <= SECOND_P50_MS);
    page.line("Sandboxes with an interpreter wait on both sides. The first installs by pip or npm from the registry; the next unpacks from the node's cache; from a template, that was done while it waited.");
    Ok(())
}

/// The first session with a set on a node that has none of it, and those that follow.
fn one_after_another(set: &Set) -> anyhow::Result<(f64, Vec<f64>)> {
    let asked = json!({"lang": set.lang, "libraries": set.libraries});
    let shape = json!([{
        "image": IMAGE, "kernel": set.lang, "use_inference": true, "min": WAITING, "max": WAITING,
    }]);
    let mut settings = settings(WAITING);
    settings.push(("POOL_SHAPES", shape.to_string()));
    let node = Node::start_with(&settings)?;
    let mut times = Vec::new();
    for _ in 0..=TIMES {
        node.wait_until_full()?;
        times.push(open(&mut node.client()?, &asked, set.code)?);
    }
    node.stop()?;
    let first = times.remove(0);
    Ok((first, times))
}

fn from_template(set: &Set) -> anyhow::Result<Vec<f64>> {
    let node = Node::start_with(&settings(WAITING))?;
    let template = json!({
        "version": 1, "lang": set.lang, "libraries": set.libraries, "pool": {"min": WAITING},
    });
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
        times.push(open(&mut node.client()?, &json!({"template": "bench"}), set.code)?);
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
        ("SESSION_IMAGE_NODE", IMAGE.to_owned()),
    ];
    // Without one of its own it is the public registry, as the node has it.
    for (setting, client) in [
        ("PACKAGES_PYPI_URL", &["python3", "-m", "pip", "config", "get", "global.index-url"][..]),
        ("PACKAGES_NPM_URL", &["npm", "config", "get", "registry"][..]),
    ] {
        let asked = Command::new(client[0]).args(&client[1..]).output();
        let url = asked.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
        let url = url.ok().filter(|url| url.starts_with("http"));
        settings.extend(url.map(|url| (setting, url)));
    }
    settings
}
