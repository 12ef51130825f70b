//! Every type that crosses a process boundary of Pinfold, with its validation and its limits.
//!
//! Pure on purpose: no I/O, no clock, no runtime. A caller, the node, the command line and the
//! agent inside a sandbox all build on these types and on nothing else of each other.

pub mod code;
pub mod egress;
pub mod event;
pub mod fault;
pub mod file;
mod hidden;
pub mod id;
pub mod image;
pub mod inference;
pub mod job;
pub mod landlock;
pub mod limits;
pub mod link;
pub mod packages;
pub mod pool;
pub mod problem;
pub mod provider;
pub mod route;
pub mod sandbox;
pub mod session;
pub mod telemetry;
pub mod template;
pub mod terminal;
pub mod version;

pub use fault::{Fault, Faults};
pub use hidden::Hidden;
pub use id::{CellId, JobId, ProviderName, SandboxId, SessionId, TaskId, TemplateName, TerminalId};
pub use image::ImageRef;
pub use route::RouteAlias;
pub use version::Version;
