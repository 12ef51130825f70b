//! Who else runs code and keeps its state: a bare interpreter, and the llm-sandbox package.

use crate::node::PYTHON;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// The distribution's own, as in the image, and not what a person's PATH puts in front of it.
const BARE_PYTHON: &str = "/usr/bin/python3";

/// Where `deploy/llm-sandbox.sh` puts it, from the folder that `just` runs in.
const LLM_SANDBOX: &str = "target/pinfold/llm-sandbox";

/// A program that answers each line with a line.
struct Lines {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Lines {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().context("piped")?);
        Ok(Self { child, to, from })
    }

    fn ask(&mut self, order: &Value) -> anyhow::Result<Value> {
        let to = self.to.as_mut().context("it was not told to end")?;
        to.write_all(format!("{order}\n").as_bytes())?;
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "the program beside ended early");
        Ok(serde_json::from_str(&line)?)
    }

    /// It ends when it has nothing more to read.
    fn end(&mut self) -> anyhow::Result<()> {
        self.to = None;
        let status = self.child.wait()?;
        ensure!(status.success(), "the program beside ended with {status}");
        Ok(())
    }
}

impl Drop for Lines {
    /// After a failed measurement nothing may run on.
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

pub(super) struct Bare(Lines);

impl Bare {
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(BARE_PYTHON);
        command.args(["-u", "-c", include_str!("../../programs/bare.py")]);
        Lines::start(&mut command).map(Self)
    }

    pub(super) fn run(&mut self, code: &str) -> anyhow::Result<Value> {
        self.0.ask(&json!(code))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.child.id()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A new interpreter for each piece of code.
    Plain,
    /// An IPython that stays.
    Interactive,
}

pub(super) struct Beside {
    lines: Lines,
    kind: Kind,
}

impl Beside {
    pub(super) fn start(kind: Kind, container_host: &str) -> anyhow::Result<Self> {
        let home = PathBuf::from(LLM_SANDBOX).canonicalize().context(LLM_SANDBOX)?;
        let mut command = Command::new(home.join("bin/python"));
        command
            .args(["-c", include_str!("../../programs/beside.py"), container_host, PYTHON])
            .arg(if kind == Kind::Plain { "plain" } else { "interactive" })
            .arg(home.join("inside"));
        let lines = Lines::start(&mut command)?;
        Ok(Self { lines, kind })
    }

    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        self.lines.ask(&json!({"do": "open"})).map(drop)
    }

    pub(super) fn run(&mut self, code: &str) -> anyhow::Result<Value> {
        self.lines.ask(&json!({"do": "run", "code": code}))
    }

    /// What a counter shows that was counted up once in each round.
    pub(super) fn expected(&self, round: usize) -> String {
        let count = if self.kind == Kind::Plain { 1 } else { round + 1 };
        format!("{count}\n")
    }

    pub(super) fn close(&mut self) -> anyhow::Result<()> {
        self.lines.ask(&json!({"do": "close"})).map(drop)
    }

    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.lines.end()
    }
}

/// What was compared with, for the page.
pub(super) fn described() -> String {
    let script = include_str!("../../../../deploy/llm-sandbox.sh");
    let version = script.lines().find_map(|line| line.strip_prefix("version=")).unwrap_or("?");
    format!(
        "llm-sandbox {version} from PyPI with the same Podman and the same image, as both sides keep it ready: `keep_template=True`, \
         `skip_environment_setup=True`, `network_mode: none`, no security policy, its defaults otherwise. What it would install \
         in each interactive sandbox (a virtual environment, IPython) is mounted into it, and its call of pip does nothing. \
         Called from Python itself; ours is called over HTTP with a token."
    )
}
