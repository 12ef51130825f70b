//! What the node tells about the sandboxes that wait for work.

use crate::{Version, limits::Limits, sandbox::NetworkPolicy};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    pub version: Version,
    /// Most that wait at a time. 0: the node keeps no pool.
    pub max: u64,
    pub ready: u64,
    pub making: u64,
    /// What the waiting ones really use.
    pub memory_bytes: u64,
    pub memory_budget_bytes: u64,
    pub shapes: Vec<PoolShape>,
}

/// One shape, and what became of its sandboxes since the node began to remember it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolShape {
    /// Short and stable: the same shape has the same name after a restart.
    pub shape: String,
    pub image: String,
    pub image_id: String,
    pub limits: Limits,
    pub network_policy: NetworkPolicy,
    pub use_inference: bool,
    /// The template that they are furnished by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Configured by the operator; otherwise learned from use.
    pub pinned: bool,
    /// Its image or template was changed or is gone: what waits is removed and nothing more is made.
    pub retired: bool,
    /// Its last creation failed and the next try is not due yet.
    pub backing_off: bool,
    pub min: u64,
    pub max: u64,
    pub wanted: u64,
    pub ready: u64,
    pub making: u64,
    /// Claims, the recent ones counting most.
    pub demand: f64,
    /// Served from the pool.
    pub claims: u64,
    /// Found nothing and made their own.
    pub misses: u64,
    pub made: u64,
    pub failures: u64,
    /// Given up because others were used more, or because nobody used them.
    pub evicted: u64,
    /// Given up for their age, or because their image was updated.
    pub replaced: u64,
    /// Found dead or silent.
    pub lost: u64,
    /// Mean time from the order to the answer of a new sandbox, its first command included.
    pub creation_ms: f64,
    pub oldest_seconds: f64,
    pub memory_bytes: u64,
}
