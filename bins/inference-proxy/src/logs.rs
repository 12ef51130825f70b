//! The log: lines to standard error, without bodies, queries or headers.

use crate::config::{Log, LogFormat};

pub fn init(config: &Log) {
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(config.log_level);
    let _another_was_first = match config.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
