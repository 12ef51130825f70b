//! When to stop: the first signal drains, the second stops waiting.

use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two requests of growing urgency.
#[derive(Clone, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub abort: CancellationToken,
}

impl Shutdown {
    /// Hears signals from this call on; what to do about them happens where the future is driven.
    pub fn on_signals(&self) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
        let Self { drain, abort } = self.clone();
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(async move {
            for token in [drain, abort] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
            std::future::pending().await
        })
    }
}
