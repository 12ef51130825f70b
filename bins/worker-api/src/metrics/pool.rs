//! The pool's numbers, read off its page when Prometheus asks: there is one truth about them.

use contracts::pool::{PoolShape, PoolView};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

/// Shapes are bounded by the pool, and those that it forgets are forgotten here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Shape {
    shape: String,
    image: String,
}

type Gauges = Family<Shape, Gauge<f64, AtomicU64>>;
type Counters = Family<Shape, Counter>;

#[derive(Default)]
pub(super) struct PoolMetrics {
    gauges: [Gauges; 6],
    counters: [Counters; 7],
}

impl PoolMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let gauges = [
            ("pool_ready", "Sandboxes that wait for work"),
            ("pool_making", "Sandboxes that are made for the pool now"),
            ("pool_wanted", "Sandboxes that should wait"),
            ("pool_creation_milliseconds", "Mean time until a new sandbox was ready"),
            ("pool_oldest_seconds", "Age of the sandbox that waits longest"),
            ("pool_memory_bytes", "Memory that the waiting ones use"),
        ];
        for ((name, help), gauge) in gauges.into_iter().zip(&metrics.gauges) {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            ("pool_claims", "Sandboxes that were served from the pool"),
            ("pool_misses", "Sandboxes that had to be made when asked for"),
            ("pool_made", "Sandboxes that were made for the pool"),
            ("pool_failures", "Sandboxes that could not be made for the pool"),
            ("pool_evicted", "Waiting sandboxes given up for lack of use"),
            ("pool_replaced", "Waiting sandboxes given up for their age or their image's"),
            ("pool_lost", "Waiting sandboxes found dead or silent"),
        ];
        for ((name, help), counter) in counters.into_iter().zip(&metrics.counters) {
            registry.register(name, help, counter.clone());
        }
        metrics
    }

    pub(super) fn show(&self, view: &PoolView) {
        self.gauges.iter().for_each(|gauge| gauge.clear());
        self.counters.iter().for_each(|counter| counter.clear());
        for shape in &view.shapes {
            let label = Shape { shape: shape.shape.clone(), image: shape.image.clone() };
            for (value, gauge) in gauges(shape).into_iter().zip(&self.gauges) {
                gauge.get_or_create(&label).set(value);
            }
            for (value, counter) in counters(shape).into_iter().zip(&self.counters) {
                counter.get_or_create(&label).inc_by(value);
            }
        }
    }
}

fn gauges(shape: &PoolShape) -> [f64; 6] {
    let PoolShape { ready, making, wanted, creation_ms, oldest_seconds, memory_bytes, .. } = shape;
    let whole = [ready, making, wanted].map(|value| *value as f64);
    [whole[0], whole[1], whole[2], *creation_ms, *oldest_seconds, *memory_bytes as f64]
}

fn counters(shape: &PoolShape) -> [u64; 7] {
    let PoolShape { claims, misses, made, failures, evicted, replaced, lost, .. } = shape;
    [claims, misses, made, failures, evicted, replaced, lost].map(|value| *value)
}
