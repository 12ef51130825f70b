//! The pool's page: what waits, what was served from it, and what was missed.

use crate::{cli::PoolOptions, client::Client, out};
use contracts::pool::{PoolShape, PoolView};
use std::{fmt::Write, io::IsTerminal, process::ExitCode, time::Duration};

/// Clears a terminal and goes to its top left corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(crate) async fn show(client: &Client, options: PoolOptions) -> anyhow::Result<ExitCode> {
    loop {
        let view: PoolView = client.get("/v1/worker/pool").await?;
        let page = match options.json {
            true => serde_json::to_string_pretty(&view)?,
            false => table(&view)?,
        };
        let clear = options.watch.is_some() && std::io::stdout().is_terminal();
        out::line(format_args!("{}{}", if clear { CLEAR } else { "" }, page.trim_end()))?;
        let Some(seconds) = options.watch else {
            return Ok(ExitCode::SUCCESS);
        };
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
    }
}

fn table(view: &PoolView) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    if view.max == 0 {
        return Ok("This node keeps no pool (POOL_MAX is 0).".to_owned());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        page,
        "{} ready, {} in the making, at most {}; {:.1} of {:.0} MiB\n",
        view.ready,
        view.making,
        view.max,
        mib(view.memory_bytes),
        mib(view.memory_budget_bytes)
    )?;
    writeln!(
        page,
        "{:<9} {:<40} {:>5} {:>6} {:>6} {:>7} {:>7} {:>8} {:>8} {:>8}  STATE",
        "SHAPE",
        "IMAGE",
        "READY",
        "MAKING",
        "WANTED",
        "CLAIMS",
        "MISSES",
        "EVICTED",
        "MAKE MS",
        "OLDEST"
    )?;
    for shape in &view.shapes {
        writeln!(
            page,
            "{:<9} {:<40} {:>5} {:>6} {:>6} {:>7} {:>7} {:>8} {:>8.0} {:>7.0}s  {}",
            shape.shape,
            shape.image,
            shape.ready,
            shape.making,
            shape.wanted,
            shape.claims,
            shape.misses,
            shape.evicted,
            shape.creation_ms,
            shape.oldest_seconds,
            state(shape)
        )?;
    }
    Ok(page)
}

fn state(shape: &PoolShape) -> String {
    let mut words = vec![match &shape.template {
        Some(template) => format!("template {template}"),
        None if shape.pinned => "configured".to_owned(),
        None => "learned".to_owned(),
    }];
    if shape.retired {
        words.push("outdated".to_owned());
    }
    if shape.backing_off {
        words.push("backs off after a failure".to_owned());
    }
    words.join(", ")
}
