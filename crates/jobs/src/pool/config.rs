//! How many sandboxes may wait, of which shapes, and for how long.

use contracts::{ImageRef, code::Language, limits::Limits, sandbox::NetworkPolicy};
use executor::{PinnedImage, Shape};
use std::{sync::Arc, time::Duration};

#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// Sandboxes that wait at a time, over all shapes. 0 is no pool.
    pub max: usize,
    /// Memory that the waiting ones may really use together.
    pub memory_bytes: u64,
    /// Most sandboxes that wait for a shape that nobody configured. 0 learns nothing.
    pub learned_max: usize,
    /// A claim counts half after so long.
    pub half_life: Duration,
    /// A sandbox that waited so long is replaced.
    pub max_age: Duration,
    /// Sandboxes made at a time for the pool; jobs that find none make theirs beside these.
    pub makers: usize,
    /// Between two looks at images, ages and demand.
    pub upkeep_every: Duration,
    /// Between two proofs that a waiting agent answers.
    pub check_every: Duration,
    /// After a claim, refilling waits so long for the next one: jobs come first.
    pub refill_pause: Duration,
    pub shapes: Vec<ConfiguredShape>,
}

impl PoolConfig {
    /// No pool: every sandbox is made when it is asked for.
    pub fn off() -> Self {
        Self {
            max: 0,
            memory_bytes: 0,
            learned_max: 0,
            half_life: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            makers: 1,
            upkeep_every: Duration::from_secs(2),
            check_every: Duration::from_secs(10),
            refill_pause: Duration::from_millis(25),
            shapes: Vec::new(),
        }
    }
}

/// A shape that the node keeps ready because its operator says so.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfiguredShape {
    pub image: ImageRef,
    pub limits: Limits,
    pub network: NetworkPolicy,
    /// A way out: for inference, for egress rules, or both.
    pub door: bool,
    /// Kept ready whatever the demand.
    pub min: usize,
    /// Kept ready when the demand is there.
    pub max: usize,
    /// The language whose kernel waits in it.
    pub kernel: Option<Language>,
    /// Run once in each sandbox before it counts as ready.
    pub warm_up: Vec<String>,
}

impl ConfiguredShape {
    /// The shape under the image's present id.
    pub(super) fn shape(&self, image: &Arc<PinnedImage>) -> Shape {
        Shape {
            image: Arc::clone(image),
            limits: self.limits.clone(),
            network: self.network,
            door: self.door,
            kernel: self.kernel,
            template: None,
        }
    }
}
