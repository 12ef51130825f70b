//! One upstream: where it is, how it is reached, and the connections to it.

use crate::{
    Dialect, RelayError, Relayed, RequestBody, StreamFormat, Timeouts, Trust, TunnelEnd,
    exchange::{Failed, exchange},
    headers,
    pool::{Channel, Pool},
    request::Refusal,
    socket::{Plain, Socket},
    tls::Link,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderValue},
    http::uri::PathAndQuery,
    upgrade,
};
use hyper_util::rt::TokioIo;
use std::{io, net::SocketAddr, path::PathBuf, pin::pin, str::FromStr, sync::Arc};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::rustls::pki_types::ServerName;

/// Of a proxy's refusal of a CONNECT.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

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
    #[error("has a port that is none")]
    Port,
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
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if secure {
                    443
                } else {
                    80
                }
            }
            written => written.and_then(read_port).ok_or(UrlError::Port)?,
        };
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
    /// Each connection has one request and tells so.
    is_single_use: bool,
}

/// How an upstream that is a proxy answers a CONNECT.
pub enum Granted {
    Tunnel(TunnelEnd),
    /// Its refusal, whole.
    Not(Response<Bytes>),
}

impl Upstream {
    /// An upstream with TLS and without `trust` can't be reached.
    pub fn new(location: Location, trust: Option<Trust>, timeouts: Timeouts) -> Self {
        let (location, pool) = (Arc::new(location), Arc::default());
        Self { location, trust, timeouts, pool, is_single_use: false }
    }

    /// One request per connection, which says so.
    #[must_use]
    pub fn single_use(self) -> Self {
        Self { is_single_use: true, ..self }
    }

    /// Sends a request and gives the answer once its head is there. Headers of the connection are
    /// removed both ways; all others are the caller's affair.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        dialect: Dialect,
    ) -> Result<Response<Relayed>, RelayError> {
        self.address(&mut request)?;
        let is_head = request.method() == Method::HEAD;
        let (channel, answer) = self.exchange(request).await?;
        if redirects(answer.status()) {
            return Err(RelayError::Redirect);
        }
        Ok(self.admit(answer, channel, Some(dialect), is_head))
    }

    /// Sends a request to the target and host that it has: this upstream is a proxy, or the caller
    /// has made it whole. A redirect is an answer like others, and no error is put into a stream.
    pub async fn pass(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Relayed>, RelayError> {
        tidy(request.headers_mut());
        let is_head = request.method() == Method::HEAD;
        let (channel, answer) = self.exchange(request).await?;
        Ok(self.admit(answer, channel, None, is_head))
    }

    /// Asks an upstream that is a proxy for a tunnel.
    pub async fn tunnel(&self, connect: Request<()>) -> Result<Granted, RelayError> {
        let limit = self.timeouts.connect;
        let opened = timeout(limit, self.link()).await;
        let opened = opened.map_err(|_| RelayError::SlowConnect(limit))?;
        let (link, _socket) = opened.map_err(RelayError::Connect)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(link)).await.map_err(RelayError::Cut)?;
        let mut connection = pin!(connection.with_upgrades());
        let asked = async {
            let request = connect.map(|()| Empty::<Bytes>::new());
            let answer = sender.send_request(request).await.map_err(RelayError::Cut)?;
            if answer.status().is_success() {
                let upgraded = upgrade::on(answer).await.map_err(RelayError::Cut)?;
                return Ok(Granted::Tunnel(TokioIo::new(upgraded)));
            }
            let (head, body) = answer.into_parts();
            let whole = Limited::new(body, MAX_REFUSAL_BYTES).collect().await;
            let whole = whole.map_err(|_| RelayError::Unfinished)?.to_bytes();
            Ok(Granted::Not(Response::from_parts(head, whole)))
        };
        let mut asked = pin!(timeout(self.timeouts.first_byte, asked));
        let mut is_driven = true;
        loop {
            tokio::select! {
                biased;
                granted = &mut asked => {
                    return granted.map_err(|_| RelayError::SlowAnswer(self.timeouts.first_byte))?;
                }
                // How it ended is told by the answer that was on its way.
                _ = &mut connection, if is_driven => is_driven = false,
            }
        }
    }

    async fn exchange(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<(Box<Channel>, Response<Incoming>), RelayError> {
        if self.is_single_use {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut pooled = self.pool.take();
        loop {
            let reused = pooled.is_some();
            let mut channel = match pooled.take() {
                Some(channel) => channel,
                None => Box::new(self.connect().await?),
            };
            match exchange(&mut channel, request, &self.timeouts).await {
                Ok(answer) if answer.status().is_informational() => {
                    return Err(RelayError::Redirect);
                }
                Ok(answer) => return Ok((channel, answer)),
                // A connection that was closed while it was idle; a new one is tried once.
                Err(Failed::Unsent(unsent)) if reused => request = *unsent,
                Err(Failed::Unsent(_)) => {
                    return Err(RelayError::Connect(io::ErrorKind::ConnectionAborted.into()));
                }
                Err(Failed::Ended(error)) => return Err(error),
            }
        }
    }

    /// The request as this upstream must see it.
    fn address(&self, request: &mut Request<RequestBody>) -> Result<(), RelayError> {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let target = match self.location.base.as_str() {
            "" => path,
            base => format!("{base}{path}").parse().map_err(|_| Refusal::Target)?,
        };
        *request.uri_mut() = target.into();
        let headers = request.headers_mut();
        tidy(headers);
        headers.insert(HOST, self.location.host.clone());
        Ok(())
    }

    fn admit(
        &self,
        answer: Response<Incoming>,
        channel: Box<Channel>,
        dialect: Option<Dialect>,
        is_head: bool,
    ) -> Response<Relayed> {
        let (mut head, incoming) = answer.into_parts();
        headers::strip_hop_by_hop(&mut head.headers);
        // Told anew from the body, except where there is none to tell it from.
        if !is_head && head.status != StatusCode::NOT_MODIFIED {
            head.headers.remove(CONTENT_LENGTH);
        }
        let format = dialect.and_then(|_| StreamFormat::of(&head.headers));
        let pool = Arc::clone(&self.pool);
        let voice = (dialect.unwrap_or(Dialect::OpenAi), format);
        let body = Relayed::new(incoming, channel, pool, voice, &self.timeouts);
        Response::from_parts(head, body)
    }

    async fn connect(&self) -> Result<Channel, RelayError> {
        let limit = self.timeouts.connect;
        let connected = timeout(limit, self.open()).await;
        connected.map_err(|_| RelayError::SlowConnect(limit))?.map_err(RelayError::Connect)
    }

    async fn open(&self) -> io::Result<Channel> {
        let (link, socket) = self.link().await?;
        let io = TokioIo::new(link);
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        Ok(Channel::new(sender, connection, socket))
    }

    async fn link(&self) -> io::Result<(Link, Arc<Socket>)> {
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
        Ok((link, socket))
    }
}

/// What stands behind a host: another port than the one that was meant would be asked in silence.
fn read_port(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':')?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

fn redirects(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

/// The connection's own headers end here; the length is the body's to say; and who sends at once
/// waits for nobody's consent.
fn tidy(headers: &mut HeaderMap) {
    headers::strip_hop_by_hop(headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
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
            ("http://a:99999", UrlError::Port),
            ("http://a:0", UrlError::Port),
            ("http://a:", UrlError::Port),
            ("http://a:8o80", UrlError::Port),
            ("http://[::1]:70000/x", UrlError::Port),
        ] {
            assert_eq!(url.parse::<Location>(), Err(error), "{url}");
        }
    }
}
