//! The node's side of the gate: which calls may leave a sandbox, what their bodies may ask for, which
//! model they name and which provider serves it, with whose key, and what they cost.

mod body;
mod budget;
mod models;
pub mod providers;
mod refusal;
pub mod routes;
mod surface;
mod usage;

pub use body::{BodyPolicy, Forward, JsonError, Prepared, check_encoding, named_model, prepare};
pub use budget::{Ask, Budget, Caps, DEFAULT_OUTPUT_TOKENS, Reservation, Usage};
pub use models::{ModelMap, Unlisted, answer, loaded};
pub use refusal::{Kind, Refusal};
pub use surface::{Answer, Call, Dialect, Endpoint, Method, call};
pub use usage::{Framing, Meter, Reading, UsageFilter, estimate_tokens};
