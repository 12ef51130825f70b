//! What a node is told about itself: ids, caps and times. Read by the program, used here.

use crate::PoolConfig;
use contracts::{ImageRef, code::Language, limits::Limits};
use gate::{Gate, egress::Policy};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use store::Kept;

#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The image of a job that names none.
    pub default_image: ImageRef,
    pub default_timeout: Duration,
    /// No job runs longer, whatever it asks for.
    pub max_timeout: Duration,
    pub default_limits: Limits,
    pub max_limits: Limits,
    /// Jobs that run at a time.
    pub max_running: usize,
    /// Jobs that wait beyond these; one more is turned away.
    pub max_queued: usize,
    /// Between TERM and KILL at a deadline.
    pub term_grace: Duration,
    /// Between TERM and KILL when a caller stops a job.
    pub stop_grace: Duration,
    /// Output over both streams after which a program is ended.
    pub flood_bytes: u64,
    /// How long an ended job and its artifacts can be read.
    pub retention: Duration,
    /// So many of them, and so much. The oldest go first.
    pub retention_most: Kept,
    pub artifact_max_files: u32,
    pub artifact_max_bytes: u64,
    /// Free space where the state is, below which nothing is taken that would need some of it.
    pub min_free_bytes: u64,
    pub upload_max_bytes: u64,
    /// How long an upload waits for its job.
    pub upload_keep: Duration,
    pub session_max: usize,
    pub session_idle: Duration,
    pub session_lifetime: Duration,
    /// After so long without activity a session is frozen. `None`: never.
    pub session_freeze_after: Option<Duration>,
    /// Where code of a language runs.
    pub session_images: BTreeMap<Language, ImageRef>,
    /// Time limit of code that asks for none.
    pub cell_timeout: Duration,
    /// Where everything leaves, on a node with sandboxes.
    pub gate: Option<Gate>,
    pub egress: EgressConfig,
    pub pool: PoolConfig,
    /// Between two looks for sandboxes that nobody owns.
    pub sweep_every: Duration,
    /// Where artifacts and uploads are kept, beside the store.
    pub state_dir: PathBuf,
}

/// What the node says of egress beyond what jobs say.
#[derive(Debug, Clone, Default)]
pub struct EgressConfig {
    /// Those that jobs may name.
    pub policies: BTreeMap<String, Policy>,
    /// No job moves more, whichever rules it has.
    pub max_bytes_out: Option<u64>,
    pub max_bytes_in: Option<u64>,
}
