//! The HTTP relaying that both ends of the gate share: strictness on what comes in, hygiene of
//! headers, caps, timeouts, streaming without delay, and errors that a client's library understands.
//!
//! It never chooses an upstream. A request and its answer live in one task: whoever drops the answer
//! drops the upstream's connection with it, so a client that goes takes its call along.

mod alarm;
mod answer;
mod begun;
mod dialect;
mod error;
mod exchange;
mod head_guard;
pub mod headers;
mod pool;
mod received;
mod relayed;
pub mod request;
mod request_body;
mod serve;
mod serve_tls;
mod socket;
mod timeouts;
mod tls;
mod tunnel;
mod upstream;
mod wire;

pub use answer::{Answer, AnswerBody, plain, refusal};
pub use begun::Handed;
pub use dialect::{Dialect, StreamFormat};
pub use error::RelayError;
pub use received::Received;
pub use relayed::Relayed;
pub use request_body::RequestBody;
pub use serve::{Accept, Handler, Listener, ServeLimits, each_connection, serve};
pub use serve_tls::{TlsServer, serve_tls};
pub use timeouts::Timeouts;
pub use tls::{Trust, TrustError};
pub use tunnel::{Side, Spliced, Tunnel, TunnelEnd, splice};
pub use upstream::{Granted, Location, Upstream, UrlError};
