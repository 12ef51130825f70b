//! The figures as a page: machine, command, sums, raw data.

use crate::{
    jobs::{Alternating, median},
    load::{Footprint, Load},
};
use std::{fmt::Write, process::Command};

/// The design's bar for a cold job, as a share of plain Podman's time.
const COLD_BAR: f64 = 0.6;

pub(crate) fn text(jobs: &Alternating, load: &Load) -> Result<String, std::fmt::Error> {
    let mut page = String::from(
        "# Benchmarks\n\nMeasured by `just bench jobs`, which writes this page. Ratios compare both sides in one run.\n\n",
    );
    writeln!(page, "Machine: {}\n", machine())?;
    let ratio = jobs.ratio();
    let verdict = if ratio <= COLD_BAR { "reached" } else { "NOT reached" };
    writeln!(page, "## One job at a time, no pool\n")?;
    writeln!(page, "| | median ms |\n|---|---|")?;
    writeln!(
        page,
        "| `podman run --rm --network=none … echo hello` | {:.1} |",
        median(&jobs.podman)
    )?;
    writeln!(page, "| the same as a cold job over HTTP | {:.1} |", median(&jobs.cold))?;
    writeln!(
        page,
        "\nMedian of the paired ratios: **{ratio:.2}**; the bar is {COLD_BAR}: {verdict}.\n"
    )?;
    let Load { clients, seconds, jobs: count, errors, p50_ms, before, after } = load;
    writeln!(page, "## {clients} clients for {seconds:.0} s\n")?;
    writeln!(
        page,
        "{count} jobs, {errors} errors, {:.1} jobs/s, median {p50_ms:.0} ms.\n",
        *count as f64 / seconds
    )?;
    writeln!(
        page,
        "| | containers | cgroups | folders | open files of the node |\n|---|---|---|---|---|"
    )?;
    row(&mut page, "before", before)?;
    row(&mut page, "after", after)?;
    writeln!(page, "\n## Raw data, in ms, pair by pair\n\n```text")?;
    for (podman, cold) in jobs.podman.iter().zip(&jobs.cold) {
        writeln!(page, "podman {podman:7.1}   cold job {cold:7.1}   ratio {:.2}", cold / podman)?;
    }
    writeln!(page, "```")?;
    Ok(page)
}

fn row(page: &mut String, name: &str, footprint: &Footprint) -> std::fmt::Result {
    let Footprint { containers, cgroups, folders, open_files } = footprint;
    writeln!(page, "| {name} | {containers} | {cgroups} | {folders} | {open_files} |")
}

fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or_else(
            |_| "?".to_owned(),
            |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
        )
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = said("uname", &["-r"]);
    let podman = said("podman", &["version", "--format", "{{.Client.Version}}"]);
    format!("{cores} cores, kernel {kernel}, Podman {podman}")
}
