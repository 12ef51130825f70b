//! What a worker node does: takes jobs and sessions, gives each a sandbox of its own, and tells how
//! it went, exactly once, whatever dies in between. Knows nothing of HTTP.

mod admission;
mod artifacts;
pub mod config;
mod door;
pub mod error;
mod events;
mod help;
mod kernels;
mod libraries;
mod lifecycle;
mod live;
pub mod metrics;
pub mod node;
mod outcome;
mod pool;
mod prepare;
mod reconcile;
mod room;
mod rules;
mod sandboxes;
mod sessions;
mod stops;
mod supervise;
mod templates;
pub mod uploads;

pub use config::{EgressConfig, NodeConfig};
pub use error::{FileRefusal, JobError, chain};
pub use events::{JobEvent, JobEventKind};
pub use kernels::{CellEvent, CellNews};
pub use metrics::Metrics;
pub use node::{Ended, JobQuery, Node};
pub use pool::config::{ConfiguredShape, PoolConfig};
pub use sandboxes::Owned;
pub use sessions::{
    Attachment, CodeEnd, Download, Running, SessionEnded, SessionFiles, TerminalNews, Upload,
    Uploaded, Watching,
};
