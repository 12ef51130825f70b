//! The pool as its page shows it.

use super::{Free, Pool, stock::Stock};
use contracts::{
    Version,
    pool::{PoolShape, PoolView},
};
use executor::ShapeKey;
use sha2::{Digest, Sha256};
use std::time::Instant;

impl Pool {
    pub(crate) fn view(&self) -> PoolView {
        let now = Instant::now();
        let shapes: Vec<PoolShape> =
            self.state().stocks.iter().map(|(key, stock)| shape(key, stock, now)).collect();
        let sum = |of: fn(&PoolShape) -> u64| shapes.iter().map(of).sum();
        PoolView {
            version: Version,
            max: self.config.max as u64,
            ready: sum(|shape| shape.ready),
            making: sum(|shape| shape.making),
            memory_bytes: sum(|shape| shape.memory_bytes),
            memory_budget_bytes: self.config.memory_bytes,
            shapes,
        }
    }
}

fn shape(key: &ShapeKey, stock: &Stock, now: Instant) -> PoolShape {
    let (level, counts) = (stock.level(now, Free { makers: true, builders: true }), &stock.counts);
    let oldest = stock.waiting.front().map(|waiting| now.duration_since(waiting.since));
    let making_ms = counts.making_time.as_secs_f64() * 1000.0;
    PoolShape {
        shape: short(key),
        image: stock.shape.image.reference.to_string(),
        image_id: stock.shape.image.id.clone(),
        limits: stock.shape.limits.clone(),
        network_policy: stock.shape.network,
        use_inference: stock.shape.door,
        template: stock.shape.template.as_deref().map(name),
        pinned: stock.pinned,
        retired: stock.retired,
        backing_off: level.backing_off,
        min: stock.min as u64,
        max: stock.max as u64,
        wanted: level.wanted() as u64,
        ready: level.ready as u64,
        making: level.making as u64,
        demand: level.demand,
        claims: counts.claims,
        misses: counts.misses,
        made: counts.made,
        failures: counts.failures,
        evicted: counts.evicted,
        replaced: counts.replaced,
        lost: counts.lost,
        creation_ms: if counts.made == 0 { 0.0 } else { making_ms / counts.made as f64 },
        oldest_seconds: oldest.unwrap_or_default().as_secs_f64(),
        memory_bytes: stock.memory_bytes(),
    }
}

/// A whole key names every limit; this is enough to tell shapes apart.
fn short(key: &ShapeKey) -> String {
    let digest = Sha256::digest(key.as_str());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// What an operator calls it.
fn name(mark: &str) -> String {
    mark.split_once('@').map_or(mark, |(name, _)| name).to_owned()
}
