//! When to stop.

use std::{future::Future, io};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Hears signals from this call on, and cancels `stop` at the first.
pub(crate) fn first(stop: &CancellationToken) -> io::Result<impl Future<Output = ()> + use<>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = stop.clone();
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.cancelled() => {}
        }
        tracing::info!("draining");
        stop.cancel();
    })
}
