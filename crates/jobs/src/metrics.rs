//! What a node counts of its jobs and sandboxes, for Prometheus.

use contracts::{
    job::{Reason, Status},
    landlock::Landlock,
    session::SessionEnd,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use store::{Kept, Outlived};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    status: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Way {
    warm: String,
}

pub struct Metrics {
    ended: Family<End, Counter>,
    faults: Family<Phase, Counter>,
    pub(crate) running: Gauge,
    pub(crate) queued: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) sessions_frozen: Gauge,
    sessions_ended: Family<Why, Counter>,
    wake_seconds: Histogram,
    pub(crate) adopted: Counter,
    pub(crate) swept: Counter,
    pub(crate) removal_failures: Counter,
    sandbox_seconds: Family<Way, Histogram>,
    landlock_abi: Gauge,
    results_kept: Gauge,
    results_bytes: Gauge,
    results_forgotten: Family<Why, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        Self {
            ended: Family::default(),
            faults: Family::default(),
            running: Gauge::default(),
            queued: Gauge::default(),
            sessions: Gauge::default(),
            sessions_frozen: Gauge::default(),
            sessions_ended: Family::default(),
            wake_seconds: histogram(),
            adopted: Counter::default(),
            swept: Counter::default(),
            removal_failures: Counter::default(),
            sandbox_seconds: Family::new_with_constructor(histogram),
            landlock_abi: Gauge::default(),
            results_kept: Gauge::default(),
            results_bytes: Gauge::default(),
            results_forgotten: Family::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register("jobs", "Jobs that ended with a result", self.ended.clone());
        registry.register(
            "job_faults",
            "Jobs that ended by a fault of the node",
            self.faults.clone(),
        );
        registry.register("jobs_running", "Jobs that run now", self.running.clone());
        registry.register("jobs_queued", "Jobs that wait now", self.queued.clone());
        registry.register("sessions_active", "Sessions that are open now", self.sessions.clone());
        let frozen = self.sessions_frozen.clone();
        registry.register("sessions_frozen", "Sessions that stand still now", frozen);
        registry.register("sessions_ended", "Sessions that ended", self.sessions_ended.clone());
        let wakes = self.wake_seconds.clone();
        registry.register("session_wake_seconds", "Until a frozen session went on", wakes);
        registry.register(
            "sandboxes_adopted",
            "Taken over from an earlier life",
            self.adopted.clone(),
        );
        registry.register(
            "sandboxes_swept",
            "Removed because nobody owned them",
            self.swept.clone(),
        );
        let removals = self.removal_failures.clone();
        registry.register("sandbox_removal_failures", "Removals left to the sweep", removals);
        let seconds = self.sandbox_seconds.clone();
        registry.register("sandbox_seconds", "Until a job had its sandbox", seconds);
        let kept = self.results_kept.clone();
        registry.register("results_kept", "Ended jobs and sessions that can be read", kept);
        let bytes = self.results_bytes.clone();
        registry.register("results_kept_bytes", "What they take, with artifacts", bytes);
        let forgotten = self.results_forgotten.clone();
        registry.register("results_forgotten", "For their age, or to make room", forgotten);
        let help = "Version of Landlock around code in the latest sandbox; 0 is none";
        registry.register("landlock_abi", help, self.landlock_abi.clone());
    }

    pub(crate) fn job_ended(&self, status: Status, reason: Reason) {
        let end = End { status: word(&status), reason: word(&reason) };
        self.ended.get_or_create(&end).inc();
    }

    pub(crate) fn session_ended(&self, why: SessionEnd) {
        self.sessions_ended.get_or_create(&Why { why: word(&why) }).inc();
    }

    pub(crate) fn session_woke(&self, seconds: f64) {
        self.sessions_frozen.dec();
        self.wake_seconds.observe(seconds);
    }

    pub(crate) fn job_fault(&self, phase: &str) {
        self.faults.get_or_create(&Phase { phase: phase.to_owned() }).inc();
    }

    pub(crate) fn keeps(&self, kept: Kept) {
        self.results_kept.set(kept.count as i64);
        self.results_bytes.set(kept.bytes as i64);
    }

    pub(crate) fn forgets(&self, outlived: &[Outlived]) {
        for gone in outlived {
            let why = match gone.why {
                store::Why::Age => "age",
                store::Why::Room => "room",
            };
            self.results_forgotten.get_or_create(&Why { why: why.to_owned() }).inc();
        }
    }

    pub(crate) fn sandbox_made(&self, landlock: Landlock) {
        let abi = if let Landlock::Abi(version) = landlock { version } else { 0 };
        self.landlock_abi.set(abi.into());
    }

    pub(crate) fn sandbox_ready(&self, seconds: f64, warm: bool) {
        self.sandbox_seconds.get_or_create(&Way { warm: warm.to_string() }).observe(seconds);
    }
}

/// The word that callers see on the wire.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
