//! The figures as a page of docs/benchmarks: machine, command, sums, verdicts.

use crate::{footprint::Footprint, podman};
use std::process::Command;

pub(crate) struct Page {
    text: String,
}

impl Page {
    pub(crate) fn new(title: &str, command: &str) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = Command::new("uname").arg("-r").output()?;
        let kernel = String::from_utf8_lossy(&kernel.stdout).trim().to_owned();
        let podman = podman::version()?;
        Ok(Self {
            text: format!(
                "# {title}\n\nWritten by `{command}`, both sides in one run, on {cores} cores, \
                 kernel {kernel}, Podman {podman}.\n"
            ),
        })
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.text += &format!("\n## {title}\n");
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.text += &format!("\n{line}\n");
    }

    pub(crate) fn table(&mut self, head: &str, rows: &[String]) {
        let columns = head.matches('|').count() - 1;
        self.text += &format!("\n{head}\n|{}\n", "---|".repeat(columns));
        for row in rows {
            self.text += &format!("{row}\n");
        }
    }

    /// What was to be reached, and whether it was.
    pub(crate) fn bar(&mut self, what: &str, reached: bool) {
        self.line(&format!("- {what}: {}", if reached { "reached" } else { "**NOT reached**" }));
    }

    pub(crate) fn footprints(&mut self, before: &Footprint, after: &Footprint) {
        let rows = [("before", before), ("after", after)].map(|(name, footprint)| {
            let Footprint { containers, cgroups, folders, open_files } = footprint;
            format!("| {name} | {containers} | {cgroups} | {folders} | {open_files} |")
        });
        self.table("| | containers | cgroups | folders | open files of the node |", &rows);
    }

    pub(crate) fn finish(self, name: &str, dry: bool) -> anyhow::Result<()> {
        println!("{}", self.text);
        if !dry {
            std::fs::create_dir_all("docs/benchmarks")?;
            std::fs::write(format!("docs/benchmarks/{name}.md"), self.text)?;
        }
        Ok(())
    }
}
