//! The way of TLS through the proxy: byte for byte to whoever has the certificate, so that neither a
//! key nor what is said is ever in here.

use anyhow::Context;
use relay::ServeLimits;
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream, UnixStream},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Between two attempts to reach an upstream that is not there: a node that starts again is away for
/// a moment.
const PAUSE: Duration = Duration::from_millis(100);
/// What may be on its way in each direction of a connection.
const BUFFER_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub listen: SocketAddr,
    pub upstream: PathBuf,
    /// At a time; more of them wait.
    pub connections: usize,
    /// For reaching the upstream.
    pub connect: Duration,
    /// For connections under way when the drain begins.
    pub drain: Duration,
}

impl Passage {
    pub(crate) async fn listen(&self) -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("can't listen on {}", self.listen))?;
        tracing::info!(passage = %listener.local_addr()?, "inference-proxy lets TLS through");
        Ok(listener)
    }

    /// Until `stop`, and then as long as connections need, within their bound.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let this = Arc::new(self);
        let limits = ServeLimits {
            connections: this.connections,
            drain: this.drain,
            ..ServeLimits::default()
        };
        let pass = move |client| Arc::clone(&this).pass(client);
        relay::each_connection(listener, limits, stop, pass).await;
    }

    async fn pass(self: Arc<Self>, mut client: TcpStream) {
        let Some(mut upstream) = self.reach().await else {
            tracing::warn!("nobody is there to serve TLS");
            return;
        };
        let _slow_but_whole = client.set_nodelay(true);
        // Whichever side breaks, both are closed: the other one sees that.
        let _how_it_ended =
            copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES)
                .await;
    }

    async fn reach(&self) -> Option<UnixStream> {
        let until = Instant::now() + self.connect;
        loop {
            match UnixStream::connect(&self.upstream).await {
                Ok(stream) => return Some(stream),
                Err(_) if until <= Instant::now() => return None,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}
