//! One upstream: where it is, how it is reached, and the connections to it.

use crate::{
    Dialect, RelayError, Relayed, RequestBody, StreamFormat, Timeouts, Trust,
    exchange::{Failed, exchange},
    headers,
    pool::{Channel, Pool},
    socket::{Plain, Socket},
    tls::Link,
};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    client::conn::http1,
    header::{CONTENT_LENGTH, EXPECT, HOST, HeaderValue},
    http::uri::PathAndQuery,
};
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::rustls::pki_types::ServerName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is not a URL")]
    Syntax,
    #[error("must begin with http://, https:// or unix:///")]
    Scheme,
    #[error("must not hold a user or a password")]
    User,
    #[error("must not have a query")]
    Query,
    #[error("names a host that TLS can't prove")]
    Name,
}

/// Where an upstream is, as a URL says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    place: Place,
    /// What stands before every path, without the slash at its end.
    base: String,
    host: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Host {
        name: String,
        port: u16,
        tls: Option<ServerName<'static>>,
    },
    /// Addresses that somebody resolved and approved, for the host of the URL.
    Approved {
        addresses: Vec<SocketAddr>,
        tls: Option<ServerName<'static>>,
    },
    Socket(PathBuf),
}

impl FromStr for Location {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        if let Some(path) = url.strip_prefix("unix://") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(UrlError::Scheme);
            }
            let host = HeaderValue::from_static("localhost");
            return Ok(Self { place: Place::Socket(path.into()), base: String::new(), host });
        }
        let uri: Uri = url.parse().map_err(|_| UrlError::Syntax)?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(UrlError::Scheme),
        };
        let authority = uri.authority().ok_or(UrlError::Syntax)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::User);
        }
        if uri.query().is_some() {
            return Err(UrlError::Query);
        }
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if name.is_empty() {
            return Err(UrlError::Syntax);
        }
        let tls = secure.then(|| ServerName::try_from(name.clone())).transpose();
        let tls = tls.map_err(|_| UrlError::Name)?;
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| UrlError::Syntax)?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { place: Place::Host { name, port, tls }, base, host })
    }
}

impl Location {
    pub fn is_tls(&self) -> bool {
        match &self.place {
            Place::Host { tls, .. } | Place::Approved { tls, .. } => tls.is_some(),
            Place::Socket(_) => false,
        }
    }

    /// The host to resolve; none for a socket.
    pub fn host(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Host { name, port, .. } => Some((name, *port)),
            _ => None,
        }
    }

    /// The same place, reached at these addresses and no other: the name is not resolved again.
    pub fn at(self, addresses: Vec<SocketAddr>) -> Self {
        let place = match self.place {
            Place::Host { tls, .. } | Place::Approved { tls, .. } => {
                Place::Approved { addresses, tls }
            }
            socket => socket,
        };
        Self { place, ..self }
    }
}

/// Cheap to clone; the clones share their connections.
#[derive(Clone)]
pub struct Upstream {
    location: Arc<Location>,
    trust: Option<Trust>,
    timeouts: Timeouts,
    pool: Arc<Pool>,
}

impl Upstream {
    /// An upstream with TLS and without `trust` can't be reached.
    pub fn new(location: Location, trust: Option<Trust>, timeouts: Timeouts) -> Self {
        Self { location: Arc::new(location), trust, timeouts, pool: Arc::default() }
    }

    /// Sends a request and gives the answer once its head is there. Headers of the connection are
    /// removed both ways; all others are the caller's affair.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        dialect: Dialect,
    ) -> Result<Response<Relayed>, RelayError> {
        let is_head = request.method() == Method::HEAD;
        self.address(&mut request)?;
        let mut pooled = self.pool.take();
        let (channel, answer) = loop {
            let reused = pooled.is_some();
            let mut channel = match pooled.take() {
                Some(channel) => channel,
                None => Box::new(self.connect().await?),
            };
            match exchange(&mut channel, request, &self.timeouts).await {
                Ok(answer) => break (channel, answer),
                // A connection that was closed while it was idle; a new one is tried once.
                Err(Failed::Unsent(unsent)) if reused => request = *unsent,
                Err(Failed::Unsent(_)) => {
                    return Err(RelayError::Connect(io::ErrorKind::ConnectionAborted.into()));
                }
                Err(Failed::Ended(error)) => return Err(error),
            }
        };
        self.admit(answer, channel, dialect, is_head)
    }

    /// The request as this upstream must see it.
    fn address(&self, request: &mut Request<RequestBody>) -> Result<(), RelayError> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        // A path that was in a request is one that can be in another.
        let target = match self.location.base.as_str() {
            "" => path.parse(),
            base => format!("{base}{path}").parse(),
        };
        *request.uri_mut() = target.map_err(|_| crate::request::Refusal::Target)?;
        let headers = request.headers_mut();
        headers::strip_hop_by_hop(headers);
        // The length is the body's to say; and who sends at once waits for nobody's consent.
        headers.remove(CONTENT_LENGTH);
        headers.remove(EXPECT);
        headers.insert(HOST, self.location.host.clone());
        Ok(())
    }

    fn admit(
        &self,
        answer: Response<hyper::body::Incoming>,
        channel: Box<Channel>,
        dialect: Dialect,
        is_head: bool,
    ) -> Result<Response<Relayed>, RelayError> {
        let (mut head, incoming) = answer.into_parts();
        let redirects = head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED;
        if redirects || head.status.is_informational() {
            return Err(RelayError::Redirect);
        }
        headers::strip_hop_by_hop(&mut head.headers);
        // Told anew from the body, except where there is none to tell it from.
        if !is_head && head.status != StatusCode::NOT_MODIFIED {
            head.headers.remove(CONTENT_LENGTH);
        }
        let format = StreamFormat::of(&head.headers);
        let pool = Arc::clone(&self.pool);
        let body = Relayed::new(incoming, channel, pool, (dialect, format), &self.timeouts);
        Ok(Response::from_parts(head, body))
    }

    async fn connect(&self) -> Result<Channel, RelayError> {
        let limit = self.timeouts.connect;
        let connected = timeout(limit, self.open()).await;
        connected.map_err(|_| RelayError::SlowConnect(limit))?.map_err(RelayError::Connect)
    }

    async fn open(&self) -> io::Result<Channel> {
        let (socket, tls) = match &self.location.place {
            Place::Host { name, port, tls } => {
                (Socket::tcp(TcpStream::connect((name.as_str(), *port)).await?)?, tls.as_ref())
            }
            Place::Approved { addresses, tls } => {
                (Socket::tcp(TcpStream::connect(addresses.as_slice()).await?)?, tls.as_ref())
            }
            Place::Socket(path) => (Socket::Unix(UnixStream::connect(path).await?), None),
        };
        let socket = Arc::new(socket);
        let plain = Plain(Arc::clone(&socket));
        let link = match (tls, &self.trust) {
            (None, _) => Link::Plain(plain),
            (Some(name), Some(trust)) => trust.connect(name.clone(), plain).await?,
            (Some(_), None) => return Err(io::Error::other("nobody to trust was given")),
        };
        let io = TokioIo::new(link);
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        Ok(Channel::new(sender, connection, socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_an_upstream_is() {
        let location: Location = "http://host.containers.internal:11434".parse().unwrap();
        assert_eq!(location.host(), Some(("host.containers.internal", 11434)));
        assert!(!location.is_tls() && location.base.is_empty());
        let location: Location = "https://[::1]/base/".parse().unwrap();
        assert_eq!(location.host(), Some(("::1", 443)));
        assert_eq!((location.is_tls(), location.base.as_str()), (true, "/base"));
        let location: Location = "unix:///run/gate.sock".parse().unwrap();
        assert_eq!(location.place, Place::Socket("/run/gate.sock".into()));
    }

    #[test]
    fn what_is_no_such_url_is_refused() {
        for (url, error) in [
            ("", UrlError::Syntax),
            ("localhost:11434", UrlError::Scheme),
            ("ftp://a", UrlError::Scheme),
            ("unix://relative", UrlError::Scheme),
            ("http://user:secret@a", UrlError::User),
            ("http://a/?key=secret", UrlError::Query),
            ("http://", UrlError::Syntax),
            ("https://-_-", UrlError::Name),
        ] {
            assert_eq!(url.parse::<Location>(), Err(error), "{url}");
        }
    }
}
