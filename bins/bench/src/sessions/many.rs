//! Many open sessions that only wait: what they hold of the machine's memory, and what they use of its processors.

use super::{CODE, Session, peers::Bare, restarts::Restarts};
use crate::{
    footprint::Footprint,
    node::Node,
    report::Page,
    stats::{median, millis, percentile},
    usage::{self, Usage},
};
use anyhow::{Context, ensure};
use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

const BEYOND_MIB: f64 = 10.0;
const IDLE: Duration = Duration::from_secs(20);
const OPENERS: usize = 4;
const MIB: f64 = 1048576.0;

/// Bytes of one sandbox, as the kernel counts them.
#[derive(Default)]
struct Held {
    /// Charged to its cgroup: all of its processes, its files, and the kernel's own for them.
    cgroup: Vec<f64>,
    agent: Vec<f64>,
    kernel: Vec<f64>,
    monitor: Vec<f64>,
}

pub(super) fn run(page: &mut Page, sessions: usize, container_host: &str) -> anyhow::Result<()> {
    let service = usage::service(container_host)?;
    let mut node = Node::start_with(&[
        ("POOL_MAX", "0".to_owned()),
        ("SESSION_MAX", sessions.to_string()),
        ("SESSION_FREEZE_AFTER_SECONDS", "0".to_owned()),
    ])?;
    let before = Footprint::settled(&node, 0)?;
    let (node_bytes, service_bytes) = (usage::resident(node.pid())?, usage::resident(service)?);
    let began = Instant::now();
    let paths = open(&node, sessions)?;
    let opened_s = began.elapsed().as_secs_f64();
    let grown = |pid, before: u64| -> anyhow::Result<f64> {
        Ok(usage::resident(pid)?.saturating_sub(before) as f64 / sessions as f64)
    };
    let (node_each, service_each) =
        (grown(node.pid(), node_bytes)?, grown(service, service_bytes)?);
    let mut bare = Bare::start()?;
    bare.run(CODE)?;
    let interpreter = rollup(bare.pid(), "Anonymous:")?;
    let held = held(&node.sandboxes())?;
    ensure!(held.cgroup.len() == sessions, "{} of {sessions} were found", held.cgroup.len());

    let used = Usage::now(node.pid(), service)?;
    std::thread::sleep(IDLE);
    let used = Usage::now(node.pid(), service)?.since(used);
    let mut client = node.client()?;
    let mut cells = Vec::new();
    for path in &paths {
        let mut session = Session { client: &mut client, path: path.clone() };
        let began = Instant::now();
        ensure!(session.run(CODE)? == "2\n", "a session lost its state");
        cells.push(millis(began));
    }
    drop(client);
    let restarts = Restarts::measure(&mut node, &paths)?;
    let mut client = node.client()?;
    for path in &paths {
        client.delete(path)?;
    }
    drop(client);
    let after = Footprint::settled(&node, 0)?;
    node.stop()?;

    page.section(&format!("{sessions} open sessions that wait"));
    page.line(&format!(
        "Opened in {opened_s:.0} s by {OPENERS} callers without a pool; each has run a cell."
    ));
    let beyond =
        median(&held.cgroup) - interpreter + median(&held.monitor) + node_each + service_each;
    let row = |name: &str, bytes: f64| format!("| {name} | {:.2} |", bytes / MIB);
    page.table(
        "| a session, median | MiB |",
        &[
            row("charged to its cgroup, kernel memory and files included", median(&held.cgroup)),
            row("of that, proportional: the agent", median(&held.agent)),
            row("of that, proportional: the interpreter with our driver", median(&held.kernel)),
            row("conmon, outside of it, proportional", median(&held.monitor)),
            row("worker-api's growth", node_each),
            row("the Podman service's growth", service_each),
            row("a bare interpreter's own memory, for comparison", interpreter),
        ],
    );
    page.bar(
        &format!("beyond the interpreter {:.1} MiB ≤ {BEYOND_MIB} MiB", beyond / MIB),
        beyond / MIB <= BEYOND_MIB,
    );
    page.line(&format!(
        "Idle for {} s: worker-api {:.2} % of a core, Podman's service {:.2} %. Then a cell in each: p50 {:.2} ms, p99 {:.2} ms.",
        IDLE.as_secs(),
        used.node / IDLE.as_secs_f64() * 100.0,
        (used.service + used.children) / IDLE.as_secs_f64() * 100.0,
        median(&cells),
        percentile(&cells, 99),
    ));
    page.bar(
        "nothing is left of them",
        (before.folders, before.open_files) == (after.folders, after.open_files),
    );
    restarts.tell(page, sessions);
    Ok(())
}

/// Opens them and runs one cell in each.
fn open(node: &Node, sessions: usize) -> anyhow::Result<Vec<String>> {
    let opener = |count: usize| -> anyhow::Result<Vec<String>> {
        let mut client = node.client()?;
        let mut paths = Vec::new();
        for _ in 0..count {
            let mut session = Session::open(&mut client)?;
            ensure!(session.run(CODE)? == "1\n", "a new session knows something");
            paths.push(session.path);
        }
        Ok(paths)
    };
    let share = |n: usize| sessions / OPENERS + usize::from(n < sessions % OPENERS);
    let opened: anyhow::Result<Vec<Vec<String>>> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS).map(|n| scope.spawn(move || opener(share(n)))).collect();
        openers.into_iter().map(|opener| opener.join().ok().context("a panic")?).collect()
    });
    Ok(opened?.concat())
}

fn held(sandboxes: &[String]) -> anyhow::Result<Held> {
    let mut held = Held::default();
    let (mut monitors, mut children) = (HashMap::new(), HashMap::<u32, Vec<u32>>::new());
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Some(parent) = parent(pid) else { continue };
        children.entry(parent).or_default().push(pid);
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        if words.next().is_some_and(|program| program.ends_with(b"conmon"))
            && let Some(name) = words.find_map(|word| word.strip_prefix(b"pinfold-"))
        {
            monitors.insert(String::from_utf8_lossy(name).into_owned(), pid);
        }
    }
    let below = |pid: u32| children.get(&pid).cloned().unwrap_or_default();
    for sandbox in sandboxes {
        let monitor = *monitors.get(sandbox).context("a sandbox has its monitor")?;
        let agent = *below(monitor).first().context("a monitor has its container")?;
        held.monitor.push(rollup(monitor, "Pss:")?);
        held.agent.push(rollup(agent, "Pss:")?);
        let kernels: anyhow::Result<Vec<f64>> =
            below(agent).into_iter().map(|pid| rollup(pid, "Pss:")).collect();
        held.kernel.push(kernels?.iter().sum());
        held.cgroup.push(charged(agent)?);
    }
    Ok(held)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// One line of the sums over all mappings of a process.
fn rollup(pid: u32, name: &str) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("a sum")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

fn charged(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let at = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        match controllers {
            "memory" => Some(format!("/sys/fs/cgroup/memory{path}/memory.usage_in_bytes")),
            "" => Some(format!("/sys/fs/cgroup{path}/memory.current")),
            _ => None,
        }
    };
    let files = text.lines().filter_map(at).map(fs::read_to_string);
    let read = files.flatten().next().context("a cgroup that counts memory")?;
    Ok(read.trim().parse()?)
}
