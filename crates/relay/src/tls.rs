//! TLS towards an upstream, and the stream that has it or not.

use crate::socket::Plain;
use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("{path} holds no certificates in PEM form", path = .0.display())]
    Unreadable(PathBuf),
    #[error("a certificate authority is not usable")]
    Unusable(#[source] tokio_rustls::rustls::Error),
    #[error("there is no certificate authority on this machine, and none was given")]
    Nobody,
    #[error("TLS can't be set up")]
    Setup(#[source] tokio_rustls::rustls::Error),
}

/// Whom to believe. Read once, shared by all upstreams.
#[derive(Clone)]
pub struct Trust(TlsConnector);

impl Trust {
    /// The machine's authorities, and those of a PEM file.
    pub fn load(extra: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        // A machine may have a bad certificate among the good ones; an image of nothing has none.
        let (_, _unusable) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = extra {
            let unreadable = || TrustError::Unreadable(path.to_owned());
            let found = CertificateDer::pem_file_iter(path).map_err(|_| unreadable())?;
            let found = found.collect::<Result<Vec<_>, _>>().map_err(|_| unreadable())?;
            if found.is_empty() {
                return Err(unreadable());
            }
            for certificate in found {
                roots.add(certificate).map_err(TrustError::Unusable)?;
            }
        }
        if roots.is_empty() {
            return Err(TrustError::Nobody);
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        plain: Plain,
    ) -> io::Result<Link> {
        Ok(Link::Tls(Box::new(self.0.connect(name, plain).await?)))
    }
}

pub(crate) enum Link {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

/// The same call on either kind.
macro_rules! on {
    ($link:expr, $stream:ident => $call:expr) => {
        match $link.get_mut() {
            Link::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Link::Tls($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => stream.poll_shutdown(cx))
    }
}
