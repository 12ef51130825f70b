//! The node's numbers for Prometheus: its jobs, its requests, its own size.

mod pool;

use jobs::Node;
use pool::PoolMetrics;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};
use std::{fs, time::Duration};

/// Before every name that is not a convention of others.
const PREFIX: &str = "pinfold";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    route: String,
}

pub(crate) struct HttpMetrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Path, Histogram>,
    resident: Gauge,
    open_files: Gauge,
    pool: PoolMetrics,
}

impl HttpMetrics {
    pub(crate) fn new(node: &Node) -> Self {
        let mut root = Registry::default();
        if let Some(gate) = node.gate() {
            gate.metrics().register(&mut root, PREFIX);
        }
        let registry = root.sub_registry_with_prefix(PREFIX);
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 18));
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            resident: Gauge::default(),
            open_files: Gauge::default(),
            pool: PoolMetrics::register(registry),
            registry: Registry::default(),
        };
        node.metrics().register(registry);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "This program", build);
        registry.register("http_requests", "Answered requests", metrics.requests.clone());
        registry.register_with_unit(
            "http_request",
            "Until the answer began",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register_with_unit(
            "process_resident_memory",
            "Of this program",
            Unit::Bytes,
            metrics.resident.clone(),
        );
        registry.register("process_open_fds", "Of this program", metrics.open_files.clone());
        Self { registry: root, ..metrics }
    }

    /// Counts by the route's pattern: what callers put into a path must not become a label.
    pub(crate) fn answered(&self, route: &str, status: u16, elapsed: Duration) {
        let route = if route.is_empty() { "none" } else { route }.to_owned();
        let request = Request { route: route.clone(), status: status.into() };
        self.requests.get_or_create(&request).inc();
        self.seconds.get_or_create(&Path { route }).observe(elapsed.as_secs_f64());
    }

    pub(crate) fn text(&self, node: &Node) -> Result<String, std::fmt::Error> {
        self.resident.set(resident_bytes().unwrap_or(0));
        self.open_files.set(fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as i64));
        self.pool.show(&node.pool());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn resident_bytes() -> Option<i64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as i64)
}
