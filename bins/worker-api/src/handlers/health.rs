//! Whether the process lives, whether jobs can run, and the numbers.

use crate::{
    problem::{Answer, ApiError, full},
    server::Front,
};
use hyper::StatusCode;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const TEXT: &str = "text/plain; charset=utf-8";

/// How long an answer about the engine is believed: probes come without a token, and must not be a
/// way to load Podman.
const BELIEVED: Duration = Duration::from_secs(1);

/// The last look at the node's readiness.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), &'static str>)>>);

pub(super) fn live() -> Answer {
    full(StatusCode::OK, TEXT, "ok")
}

pub(super) async fn ready(front: &Front) -> Result<Answer, ApiError> {
    let mut last = front.readiness.0.lock().await;
    let known = last.filter(|(seen, _)| seen.elapsed() < BELIEVED && !front.node.is_draining());
    let verdict = match known {
        Some((_, verdict)) => verdict,
        None => {
            let verdict = front.node.ready().await.map_err(|error| {
                tracing::warn!(error = %jobs::chain(&error), "not ready");
                match error {
                    jobs::JobError::Draining => "draining",
                    jobs::JobError::DiskFull { .. } => "the disk is nearly full",
                    jobs::JobError::Engine(_) => "the container engine does not answer",
                    _ => "starting",
                }
            });
            *last = Some((Instant::now(), verdict));
            verdict
        }
    };
    Ok(match verdict {
        Ok(()) => full(StatusCode::OK, TEXT, "ready"),
        Err(reason) => full(StatusCode::SERVICE_UNAVAILABLE, TEXT, reason),
    })
}

pub(super) fn metrics(front: &Front) -> Result<Answer, ApiError> {
    let text = front.metrics.text(&front.node).map_err(|_| ApiError::Internal("metrics"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(full(StatusCode::OK, kind, text))
}
