//! Code in sessions: what a cell and a new session cost, beside a bare interpreter and beside another package for the same on
//! the same Podman; how a frozen session wakes; sessions with libraries; and many that only wait.

mod furnished;
mod many;
mod peers;
mod restarts;

use crate::{
    node::{Client, Node, PYTHON},
    report::Page,
    stats::{median, millis, percentile},
};
use anyhow::{Context, ensure};
use peers::{Bare, Beside, Kind};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CELL_P50_MS: f64 = 3.0;
const NEW_P50_MS: f64 = 10.0;
const WAKE_P50_MS: f64 = 5.0;

const WAITING: usize = 8;
/// Cells of ours and of the bare loop between two of the other package, which are so much slower.
const CELLS_A_TURN: usize = 20;
const WAKES: usize = 20;
const CODE: &str = "n = globals().get('n', 0) + 1\nprint(n)";

#[derive(Default)]
struct Measured {
    bare: Vec<f64>,
    ours: Vec<f64>,
    /// Of each pair.
    over: Vec<f64>,
    beside: [Vec<f64>; 2],
    new: Vec<f64>,
    first_cell: Vec<f64>,
    beside_new: [Vec<f64>; 2],
    awake: Vec<f64>,
    woken: Vec<f64>,
}

pub(crate) fn run(rounds: usize, sessions: usize, container_host: &str) -> anyhow::Result<Page> {
    let load = load()?;
    let mut measured = Measured::default();
    let shapes = json!([{"image": PYTHON, "kernel": "python", "min": WAITING, "max": WAITING}]);
    let node = Node::start_with(&[
        ("POOL_MAX", WAITING.to_string()),
        ("POOL_MIN", "0".to_owned()),
        ("POOL_SHAPES", shapes.to_string()),
    ])?;
    node.wait_until_full()?;
    measured.cells(&node, rounds, container_host)?;
    measured.new_sessions(&node, rounds, container_host)?;
    node.stop()?;
    measured.wakes()?;
    let mut page = measured.page()?;
    furnished::run(&mut page)?;
    many::run(&mut page, sessions, container_host)?;
    page.line(&load);
    Ok(page)
}

/// The last part alone.
pub(crate) fn run_many(sessions: usize, container_host: &str) -> anyhow::Result<Page> {
    let load = load()?;
    let mut page = new_page()?;
    many::run(&mut page, sessions, container_host)?;
    page.line(&load);
    Ok(page)
}

fn new_page() -> anyhow::Result<Page> {
    Page::new("Code in sessions", "just bench sessions")
}

fn load() -> anyhow::Result<String> {
    let load = std::fs::read_to_string("/proc/loadavg").context("the load")?;
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "Load average of the machine at the start: {load}. What else runs shows in every p99."
    ))
}

/// An open session of ours.
struct Session<'a> {
    client: &'a mut Client,
    path: String,
}

impl<'a> Session<'a> {
    fn open(client: &'a mut Client) -> anyhow::Result<Self> {
        let opened = client.post("/sessions", &json!({"lang": "python"}))?;
        let id = opened["session_id"].as_str().with_context(|| opened.to_string())?;
        let path = format!("/sessions/{id}");
        Ok(Self { client, path })
    }

    fn run(&mut self, code: &str) -> anyhow::Result<Value> {
        let path = format!("{}/execute", self.path);
        let answer = self.client.post(&path, &json!({"code": code, "libraries": []}))?;
        ensure!(answer["exit_code"] == 0, "{answer}");
        Ok(answer["stdout"].clone())
    }

    fn close(self) -> anyhow::Result<()> {
        self.client.delete(&self.path).map(drop)
    }
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let began = Instant::now();
    let done = work()?;
    Ok((done, millis(began)))
}

impl Measured {
    /// The same code on all sides, in turns; each counts how often it ran, which shows that state stays.
    fn cells(&mut self, node: &Node, rounds: usize, container_host: &str) -> anyhow::Result<()> {
        let mut client = node.client()?;
        let mut ours = Session::open(&mut client)?;
        let mut bare = Bare::start()?;
        let mut beside = [
            Beside::start(Kind::Plain, container_host)?,
            Beside::start(Kind::Interactive, container_host)?,
        ];
        for session in &mut beside {
            session.open()?;
        }
        for round in 0..=rounds {
            for turn in 0..CELLS_A_TURN {
                let expected = format!("{}\n", round * CELLS_A_TURN + turn + 1);
                let (said, bare_ms) = timed(|| bare.run(CODE))?;
                ensure!(said == expected, "bare: {said}");
                let (said, ours_ms) = timed(|| ours.run(CODE))?;
                ensure!(said == expected, "ours: {said}");
                // The first round of each pays for what others then find.
                if round > 0 {
                    self.bare.push(bare_ms);
                    self.ours.push(ours_ms);
                    self.over.push(ours_ms - bare_ms);
                }
            }
            for (session, times) in beside.iter_mut().zip(&mut self.beside) {
                let (said, took) = timed(|| session.run(CODE))?;
                ensure!(said == session.expected(round), "beside: {said}");
                if round > 0 {
                    times.push(took);
                }
            }
        }
        ours.close()?;
        beside.into_iter().try_for_each(Beside::end)
    }

    fn new_sessions(
        &mut self,
        node: &Node,
        rounds: usize,
        container_host: &str,
    ) -> anyhow::Result<()> {
        let mut beside = [
            Beside::start(Kind::Plain, container_host)?,
            Beside::start(Kind::Interactive, container_host)?,
        ];
        for round in 0..=rounds {
            node.wait_until_full()?;
            // The node ends a connection on which nothing comes for long.
            let mut client = node.client()?;
            for _ in 0..WAITING / 2 {
                let (mut session, new_ms) = timed(|| Session::open(&mut client))?;
                let (said, cell_ms) = timed(|| session.run(CODE))?;
                ensure!(said == "1\n", "a new session knows something: {said}");
                session.close()?;
                if round > 0 {
                    self.new.push(new_ms);
                    self.first_cell.push(cell_ms);
                }
            }
            for (session, times) in beside.iter_mut().zip(&mut self.beside_new) {
                let ((), took) = timed(|| session.open())?;
                session.close()?;
                if round > 0 {
                    times.push(took);
                }
            }
        }
        beside.into_iter().try_for_each(Beside::end)
    }

    /// The same cell in a session that is awake, and in one that was frozen.
    fn wakes(&mut self) -> anyhow::Result<()> {
        let freeze = ("SESSION_FREEZE_AFTER_SECONDS", "1".to_owned());
        let node = Node::start_with(&[("POOL_MAX", "0".to_owned()), freeze])?;
        let mut client = node.client()?;
        let mut session = Session::open(&mut client)?;
        session.run(CODE)?;
        for _ in 0..WAKES {
            let began = Instant::now();
            while session.client.get(&session.path)?["status"] != "frozen" {
                ensure!(began.elapsed() < Duration::from_secs(10), "it is never frozen");
                std::thread::sleep(Duration::from_millis(20));
            }
            self.woken.push(timed(|| session.run(CODE))?.1);
            self.awake.push(timed(|| session.run(CODE))?.1);
        }
        session.close()?;
        node.stop()
    }

    fn page(&self) -> anyhow::Result<Page> {
        let mut page = new_page()?;
        let row = |(name, values): (&str, &Vec<f64>)| {
            let (p50, p99) = (median(values), percentile(values, 99));
            format!("| {name} | {p50:.2} | {p99:.2} | {} |", values.len())
        };
        let [plain, interactive] = &self.beside;
        page.section("A cell in an open Python session");
        page.table(
            "| `n += 1; print(n)` | p50 ms | p99 ms | n |",
            &[
                ("a bare interpreter on the host: a pipe, `exec`, a pipe", &self.bare),
                ("our session, over HTTP", &self.ours),
                ("our session − bare, pair by pair", &self.over),
                ("llm-sandbox, `SandboxPodmanSession`: keeps no state", plain),
                ("llm-sandbox, `InteractiveSandboxSession`: keeps state", interactive),
            ]
            .map(row),
        );
        let over = median(&self.over);
        page.bar(&format!("overhead p50 {over:.2} ms ≤ {CELL_P50_MS} ms"), over <= CELL_P50_MS);
        page.line(&format!(
            "A cell is {:.0} times faster than llm-sandbox's without state, and {:.0} times faster than its with state.",
            median(plain) / median(&self.ours),
            median(interactive) / median(&self.ours)
        ));
        let [plain, interactive] = &self.beside_new;
        page.section("A new Python session");
        page.table(
            "| | p50 ms | p99 ms | n |",
            &[
                ("ours, from a pool with running interpreters", &self.new),
                ("its first cell", &self.first_cell),
                ("llm-sandbox, `SandboxPodmanSession`", plain),
                ("llm-sandbox, `InteractiveSandboxSession`", interactive),
            ]
            .map(row),
        );
        let new = median(&self.new);
        page.bar(&format!("new session p50 {new:.2} ms ≤ {NEW_P50_MS} ms"), new <= NEW_P50_MS);
        page.line(&peers::described());
        let wake = median(&self.woken) - median(&self.awake);
        page.section("A frozen session wakes");
        page.table(
            "| a cell | p50 ms | p99 ms | n |",
            &[("in a session that is awake", &self.awake), ("in one that was frozen", &self.woken)]
                .map(row),
        );
        page.bar(&format!("waking p50 {wake:.2} ms ≤ {WAKE_P50_MS} ms"), wake <= WAKE_P50_MS);
        Ok(page)
    }
}
