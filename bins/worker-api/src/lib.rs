//! HTTP in front of a worker node: who may ask, what was asked, and how the answer is put.

mod auth;
mod code_events;
mod compose;
pub mod config;
mod downloads;
mod events;
mod file_events;
mod handlers;
pub mod logs;
mod metrics;
mod patience;
mod problem;
mod ranges;
mod request;
mod routes;
mod server;
pub mod shutdown;
mod terminal_socket;

pub use config::Config;

use anyhow::Context;
use config::Checked;
use shutdown::Shutdown;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves until the shutdown begins, then drains.
pub async fn run(config: Checked, log: logs::Log, shutdown: Shutdown) -> anyhow::Result<()> {
    // Before anything that a signal could interrupt half-done.
    let signals = shutdown.on_signals().context("signals can't be heard")?;
    let parts = compose::parts(&config).await?;
    let address = config.listen.listen_addr;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "listening beyond loopback, and without TLS: put a proxy before it");
    }
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "worker-api listens");
    let front = Arc::new(server::Front::new(config, parts, log));
    server::serve(front, listener, shutdown, signals).await;
    tracing::info!("worker-api has drained");
    Ok(())
}
