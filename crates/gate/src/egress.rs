//! What a sandbox may fetch: the rules, and the verdict on one request, one name, one address. No
//! connection and no clock here; whoever resolves and connects asks first and does what it is told.
//!
//! A request is judged in steps, and a step that refuses is the last:
//!
//! ```text
//! Request::connect / Request::plain   the bytes mean one thing, and Host says the same
//!   → Policy::admit                   a rule has this host, this port, this way of asking
//!     → (the caller resolves the name, once)
//!       → Policy::approve             every address is one that this rule may reach
//!         → Permit::opens             the TLS that comes names the same host
//!           → (the caller connects to an address of the permit, and to no other)
//! ```
//!
//! All of it is a function of its arguments: when the policy changes, an open tunnel is judged
//! again by asking again with the request and the address that it has.

mod address;
mod denial;
mod host;
mod literal;
mod path;
mod policy;
mod question;
mod request;
mod rule;
mod target;
mod traffic;

pub use address::Class;
pub use denial::{Audit, Denial, Reason, Way};
pub use host::{Host, Name};
pub use policy::{Admitted, Opening, Permit, Policy};
pub use question::{QuestionType, question};
pub use request::Request;
pub use target::{Authority, absolute_form, authority_form, host_header, server_name};
pub use traffic::{Direction, Traffic};
