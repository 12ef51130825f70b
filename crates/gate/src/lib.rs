//! The gate: the node's side of everything that leaves a sandbox. Which calls may go, what their
//! bodies may ask for, which model they name, which provider serves it and with whose key, what they
//! cost; and the doors that they come through.
//!
//! What is decided is decided without I/O: `call`, `prepare`, `Budget`, `Meter` and `routes` are plain
//! functions over bytes and clocks. `Gate` puts them behind a socket, `providers` keeps the keys.

mod account;
mod body;
mod budget;
mod by_name;
mod dns;
mod door;
pub mod egress;
mod fetch;
mod home;
mod identity;
mod metered;
mod metrics;
mod models;
mod outgoing;
pub mod packages;
mod policy;
mod porter;
pub mod providers;
mod refusal;
pub mod routes;
mod surface;
mod usage;
mod veil;

pub use body::{BodyPolicy, Forward, JsonError, Prepared, check_encoding, named_model, prepare};
pub use budget::{Ask, Budget, DEFAULT_OUTPUT_TOKENS, Reservation};
pub use dns::{Question, Reply};
pub use door::{Door, Gate, Install, Tenant};
pub use fetch::{Fetching, Hello, Outside};
pub use identity::{Identity, IdentityError, Roots};
pub use metrics::GateMetrics;
pub use models::{ModelMap, Offer, Unlisted, answer, loaded};
pub use packages::{Packages, PackagesConfig};
pub use policy::Policy;
pub use refusal::{Kind, Refusal};
pub use relay::Dialect;
pub use surface::{Answer, Call, Endpoint, Method, call};
pub use usage::{Framing, Meter, Reading, UsageFilter, estimate_tokens};
