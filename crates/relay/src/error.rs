//! How relaying can fail, in the terms of the one who is told.

use crate::request::Refusal;
use hyper::StatusCode;
use std::{io, time::Duration};

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the request is refused: {0}")]
    Refused(#[from] Refusal),
    #[error("the request body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the request body did not arrive within {0:?}")]
    SlowRequest(Duration),
    #[error("the client broke its request off")]
    BrokenRequest,
    #[error("the upstream can't be reached")]
    Connect(#[source] io::Error),
    #[error("the upstream did not take the connection within {0:?}")]
    SlowConnect(Duration),
    #[error("the upstream did not read the request within {0:?}")]
    UnreadRequest(Duration),
    #[error("the upstream did not answer within {0:?}")]
    SlowAnswer(Duration),
    #[error("the upstream broke the connection off")]
    Cut(#[source] hyper::Error),
    #[error("the upstream's answer is not HTTP")]
    Malformed(#[source] hyper::Error),
    #[error("the upstream answered with a redirect, which is not followed")]
    Redirect,
    /// For one who knows the stream's end mark and did not see it.
    #[error("the upstream ended its stream before it was complete")]
    Unfinished,
    /// For one who reads the stream's frames.
    #[error("the upstream's stream holds a frame that can't be read")]
    Garbled,
    /// For one who must read what it says.
    #[error("the upstream's answer is encoded, though it was asked for a plain one")]
    Encoded,
    #[error("the upstream was silent for {0:?} in its answer")]
    Idle(Duration),
    #[error("the upstream's answer was not complete within {0:?}")]
    Total(Duration),
}

impl RelayError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowRequest(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenRequest => StatusCode::BAD_REQUEST,
            Self::Connect(_)
            | Self::Cut(_)
            | Self::Malformed(_)
            | Self::Redirect
            | Self::Unfinished
            | Self::Encoded
            | Self::Garbled => StatusCode::BAD_GATEWAY,
            Self::SlowConnect(_)
            | Self::UnreadRequest(_)
            | Self::SlowAnswer(_)
            | Self::Idle(_)
            | Self::Total(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A stable word for programs: the error's `code` where a dialect has one, and the audit's reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::TooLarge { .. } => "request_too_large",
            Self::SlowRequest(_) => "request_timeout",
            Self::BrokenRequest => "request_incomplete",
            Self::Connect(_) => "upstream_unreachable",
            Self::SlowConnect(_) => "upstream_connect_timeout",
            Self::UnreadRequest(_) | Self::SlowAnswer(_) => "upstream_timeout",
            Self::Cut(_) => "upstream_cut",
            Self::Malformed(_) => "upstream_malformed",
            Self::Redirect => "upstream_redirect",
            Self::Unfinished => "upstream_unfinished",
            Self::Garbled => "upstream_garbled",
            Self::Encoded => "upstream_encoded",
            Self::Idle(_) => "upstream_idle",
            Self::Total(_) => "upstream_total_timeout",
        }
    }
}
