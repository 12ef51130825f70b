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

/// A shutdown that follows TERM and INT. The watcher lives in the returned future's owner: nothing
/// is spawned until [`Shutdown::watch`] is driven.
pub fn on_signals() -> Shutdown {
    Shutdown::default()
}

impl Shutdown {
    /// Listens for signals for ever.
    pub(crate) fn watch(&self) -> impl Future<Output = ()> + Send + 'static {
        let Self { drain, abort } = self.clone();
        async move {
            let (Ok(mut term), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                tracing::error!("signals can't be heard; only a kill will end this process");
                return std::future::pending().await;
            };
            for token in [drain, abort] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                token.cancel();
            }
            std::future::pending().await
        }
    }
}
