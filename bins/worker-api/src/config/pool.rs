//! Which sandboxes wait for work, and how many.

use contracts::{
    Faults, ImageRef,
    code::Language,
    limits::{Limits, LimitsRequest},
    sandbox::NetworkPolicy,
};
use jobs::{ConfiguredShape, PoolConfig};
use serde::Deserialize;
use std::time::Duration;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Pool of waiting sandboxes")]
pub struct PoolSettings {
    /// Sandboxes that wait at a time, over all shapes. 0 makes each one when it is asked for.
    #[arg(long, env = "POOL_MAX", default_value_t = 8)]
    pool_max: usize,

    /// Sandboxes of the default image with the default limits that always wait.
    #[arg(long, env = "POOL_MIN", default_value_t = 2)]
    pool_min: usize,

    /// Most that wait for a shape that was learned from use. 0 learns none.
    #[arg(long, env = "POOL_LEARNED_MAX", default_value_t = 4)]
    pool_learned_max: usize,

    /// Memory that the waiting ones may really use together, in bytes.
    #[arg(long, env = "POOL_MEMORY_BYTES", default_value_t = 1 << 30)]
    pool_memory_bytes: u64,

    /// After so long, in seconds, a claim counts half as demand.
    #[arg(long, env = "POOL_HALF_LIFE_SECONDS", default_value_t = 60)]
    pool_half_life_seconds: u64,

    /// A sandbox that has waited so long is replaced, in seconds.
    #[arg(long, env = "POOL_MAX_AGE_SECONDS", default_value_t = 3600)]
    pool_max_age_seconds: u64,

    /// Sandboxes that are made for the pool at a time.
    #[arg(long, env = "POOL_MAKERS", default_value_t = 2)]
    pool_makers: usize,

    /// More shapes to keep ready, as a JSON list of
    /// `{"image":…,"limits":{…},"min":1,"max":4,"warm_up":["python3","-c","import numpy"],"kernel":"python"}`.
    #[arg(long, env = "POOL_SHAPES")]
    pool_shapes: Option<String>,
}

/// A shape as an operator writes it down. What is absent is the node's default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    image: Option<ImageRef>,
    limits: LimitsRequest,
    network_policy: NetworkPolicy,
    use_inference: bool,
    /// For jobs with egress rules.
    egress: bool,
    min: usize,
    max: Option<usize>,
    warm_up: Vec<String>,
    /// The language whose interpreter waits in it, for sessions.
    kernel: Option<Language>,
}

impl PoolSettings {
    /// The pool of a node with these defaults and maxima.
    pub(super) fn read(
        &self,
        default_image: &ImageRef,
        default_limits: &Limits,
        max_limits: &Limits,
        has_inference: bool,
        faults: &mut Faults,
    ) -> PoolConfig {
        let mut written = self.written(faults);
        if self.pool_min > 0 {
            let default =
                Written { min: self.pool_min, max: Some(self.pool_max), ..Written::default() };
            written.insert(0, default);
        }
        let mut shapes = Vec::new();
        for (index, shape) in written.into_iter().enumerate() {
            let message = format!("shape {index}: a node without Podman has no inference");
            faults.require(has_inference || !shape.use_inference, "POOL_SHAPES", message);
            match Limits::granted(&shape.limits, default_limits, max_limits) {
                Ok(limits) => shapes.push(ConfiguredShape {
                    image: shape.image.unwrap_or_else(|| default_image.clone()),
                    limits,
                    network: shape.network_policy,
                    door: shape.use_inference || shape.egress,
                    min: shape.min,
                    max: shape.max.unwrap_or(shape.min).max(shape.min),
                    kernel: shape.kernel,
                    warm_up: shape.warm_up,
                }),
                Err(refused) => {
                    for fault in refused.iter() {
                        let message = format!("shape {index}: {}: {}", fault.field, fault.message);
                        faults.add("POOL_SHAPES", message);
                    }
                }
            }
        }
        let always: usize = shapes.iter().map(|shape| shape.min).sum();
        if self.pool_max > 0 {
            let message = format!("is less than the {always} that shall always wait");
            faults.require(always <= self.pool_max, "POOL_MAX", message);
        }
        faults.require(self.pool_makers >= 1, "POOL_MAKERS", "must be at least 1");
        let half_life = self.pool_half_life_seconds;
        faults.require(half_life >= 1, "POOL_HALF_LIFE_SECONDS", "must be at least 1");
        PoolConfig {
            max: self.pool_max,
            memory_bytes: self.pool_memory_bytes,
            learned_max: self.pool_learned_max,
            half_life: Duration::from_secs(half_life),
            max_age: Duration::from_secs(self.pool_max_age_seconds),
            makers: self.pool_makers,
            shapes,
            ..PoolConfig::off()
        }
    }

    fn written(&self, faults: &mut Faults) -> Vec<Written> {
        let Some(text) = &self.pool_shapes else { return Vec::new() };
        match serde_json::from_str(text) {
            Ok(written) => written,
            Err(error) => {
                faults.add("POOL_SHAPES", error.to_string());
                Vec::new()
            }
        }
    }
}
