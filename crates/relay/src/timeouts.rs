//! How long each phase of a call may take. One number for all of them would cut streams that talk.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// Name resolution, connection and TLS together.
    pub connect: Duration,
    /// From the head of the request to the last byte of its body.
    pub request_body: Duration,
    /// From the last byte of the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two reads of the answer; and how long a client may leave its answer unread.
    pub idle: Duration,
    /// From the head of the answer to its end, unless it is a stream of events.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request_body: Duration::from_secs(60),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(120),
            total: None,
        }
    }
}
