//! What the commands do, one file each.

pub(crate) mod copy;
pub(crate) mod egress;
mod environment;
pub(crate) mod inference;
pub(crate) mod jobs;
pub(crate) mod pool;
pub(crate) mod provider;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod template;

use crate::out;
use serde::Serialize;
use std::process::ExitCode;

/// The node's answer as it is, or as a page for a person.
fn printed<T: Serialize>(
    json: bool,
    answer: &T,
    page: impl FnOnce() -> String,
) -> anyhow::Result<ExitCode> {
    out::line(if json { serde_json::to_string_pretty(answer)? } else { page() })?;
    Ok(ExitCode::SUCCESS)
}
