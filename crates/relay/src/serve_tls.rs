//! The same service inside TLS, under one name, in HTTP/1.1 or HTTP/2: as the client's handshake chose.

mod http2;
mod named;

use crate::{
    Handler, Listener, ServeLimits, TrustError,
    begun::Begun,
    serve::{accept, http1},
    socket::{Plain, Socket},
};
use bytes::Bytes;
use named::Named;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
    server::TlsStream,
};
use tokio_util::sync::CancellationToken;

/// For a handshake to be done. A client on the same machine needs milliseconds.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who a server says that it is, and proves.
#[derive(Clone)]
pub struct TlsServer {
    acceptor: TlsAcceptor,
    name: &'static str,
}

impl TlsServer {
    /// Of a certificate in DER form and its key in PKCS #8.
    pub fn new(name: &'static str, certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, TrustError> {
        let chain = vec![CertificateDer::from(certificate)];
        let key = PrivatePkcs8KeyDer::from(key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Setup)?
            .with_no_client_auth()
            .with_single_cert(chain, key.into())
            .map_err(TrustError::Setup)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), name })
    }
}

/// Serves as `serve` does. A request that names another host than the server's is refused.
pub async fn serve_tls(
    listener: Listener,
    handler: Arc<impl Handler>,
    limits: ServeLimits,
    server: TlsServer,
    drain: CancellationToken,
) {
    let handler = Arc::new(Named { handler, name: server.name });
    // As many answers at once as there would be if each had its own connection.
    let places = Arc::new(Semaphore::new(limits.connections));
    let connection = |(socket, before): (Arc<Socket>, Bytes)| {
        let (handler, drain) = (Arc::clone(&handler), drain.clone());
        let places = Arc::clone(&places);
        let acceptor = server.acceptor.clone();
        async move {
            let Some(stream) = shake_hands(&acceptor, &socket, before).await else { return };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => {
                    http2::serve(&socket, stream, (handler, places), limits, drain).await;
                }
                _ => http1(&socket, stream, handler, limits, drain).await,
            }
        }
    };
    accept(listener, limits, &drain, connection).await;
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    socket: &Arc<Socket>,
    before: Bytes,
) -> Option<TlsStream<Begun<Plain>>> {
    let stream = Begun::new(before, Plain(Arc::clone(socket)));
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        // The client's to tell: it knows why it does not believe.
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            None
        }
        Err(_) => None,
    }
}
