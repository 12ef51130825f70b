//! Turns a job into an isolated run: the engines that make sandboxes, and the host's side of the
//! link to the agent inside each of them. Knows neither HTTP nor provider keys.

pub mod direct;
pub mod engine;
pub mod error;
pub mod fake;
pub mod files;
pub mod landlock;
mod link;
pub mod podman;
pub mod sandbox;
mod seccomp;
pub mod shape;
pub mod terminal;
mod tls_gate;

pub use engine::{Engine, EngineKind, Found, Labels, PinnedImage};
pub use error::{EngineError, LinkError};
pub use landlock::Fencing;
pub use sandbox::{
    Collected, CollectedFile, Counters, Enclosure, Exec, ExecEvent, Fed, Places, Sandbox,
};
pub use shape::{Shape, ShapeKey};
pub use terminal::{TerminalEvent, TerminalEvents};
pub use tls_gate::TlsGate;
