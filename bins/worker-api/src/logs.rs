//! The node's own log: lines to standard error, and the newest of them in memory for telemetry.

use crate::config::{Log as LogConfig, LogFormat};
use contracts::telemetry::LogEvent;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use time::OffsetDateTime;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, layer::Context, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Lines kept for telemetry, and the most of each.
const KEPT_LINES: usize = 4096;
const MOST_BYTES: usize = 4096;

/// The kept lines, oldest first, with the number of the first.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    first: u64,
    lines: VecDeque<LogEvent>,
}

impl Log {
    /// Up to `limit` lines from number `from` on that are wanted, each with its number, and the number
    /// to go on with.
    pub(crate) fn read(
        &self,
        from: u64,
        limit: usize,
        wanted: impl Fn(&LogEvent) -> bool,
    ) -> (Vec<(u64, LogEvent)>, Option<u64>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = from.saturating_sub(kept.first);
        let mut found = Vec::new();
        for (number, line) in (kept.first..).zip(&kept.lines).skip(skip as usize) {
            if !wanted(line) {
                continue;
            }
            if found.len() == limit {
                return (found, Some(number));
            }
            found.push((number, line.clone()));
        }
        (found, None)
    }

    fn keep(&self, line: LogEvent) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.lines.len() == KEPT_LINES {
            kept.lines.pop_front();
            kept.first += 1;
        }
        kept.lines.push_back(line);
    }
}

/// Sets the process's log up; the first caller wins, as in tests.
pub fn init(config: &LogConfig, log: &Log) {
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let registry =
        tracing_subscriber::registry().with(filter).with(lines).with(Keeper(log.clone()));
    let _another_was_first = registry.try_init();
}

struct Keeper(Log);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() > Level::INFO {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.keep(LogEvent {
            occurred_at: OffsetDateTime::now_utc(),
            source_kind: "service".to_owned(),
            source_name: "worker-api".to_owned(),
            level: event.metadata().level().to_string().to_lowercase(),
            message: fields.message,
            fields: fields.others,
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let mut value = value.to_owned();
        value.truncate(value.floor_char_boundary(MOST_BYTES));
        match field.name() {
            "message" => self.message = value,
            name => drop(self.others.insert(name.to_owned(), value)),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
