//! `https://inference.local` as a client sees it that believes the sandbox's authority and checks
//! everything: who serves, under which name, in which HTTP.

use bytes::Bytes;
use contracts::inference::Caps;
use gate::{
    BodyPolicy, Budget, Door, Fetching, Gate, Identity, ModelMap, Outside, Policy, Tenant, Unlisted,
};
use http::{Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use relay::{Timeouts, Upstream};
use std::{
    convert::Infallible,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

const NAME: &str = "inference.local";

/// A sandbox's door with its socket for TLS.
struct Place {
    folder: tempfile::TempDir,
    authority: String,
    door: Door,
}

impl Place {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = |name: &str| UnixListener::bind(folder.path().join(name)).unwrap();
        let identity = Identity::new(OffsetDateTime::now_utc()).unwrap();
        let door = gate().open(listen("gate.sock"));
        door.open_tls(listen("tls.sock"), &identity);
        Self { authority: identity.authority().to_owned(), door, folder }
    }

    fn admitted() -> Self {
        let place = Self::open();
        assert!(place.door.admit(Tenant {
            task: "t".to_owned(),
            job: "j".to_owned(),
            budget: Some(Budget::new(Caps::default())),
            fetching: Fetching::new(Arc::default()),
            models: None,
        }));
        place
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tls.sock")
    }

    /// By a client that speaks this protocol and no other.
    async fn connect(&self, name: &str, alpn: &str) -> std::io::Result<TlsStream<UnixStream>> {
        connect(&self.socket(), &self.authority, name, alpn).await
    }
}

async fn connect(
    socket: &PathBuf,
    authority: &str,
    name: &str,
    alpn: &str,
) -> std::io::Result<TlsStream<UnixStream>> {
    shake_hands(UnixStream::connect(socket).await?, client(authority, alpn), name).await
}

/// Says this to the door's plain socket, and returns the head of the answer with the connection.
async fn say(place: &Place, head: &str) -> (String, UnixStream) {
    let mut stream = UnixStream::connect(place.folder.path().join("gate.sock")).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    while !told.ends_with(b"\r\n\r\n") {
        told.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(told).unwrap(), stream)
}

fn client(authority: &str, alpn: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    config
}

async fn shake_hands(
    stream: UnixStream,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<UnixStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn gate() -> Gate {
    let upstream = "unix:///nonexistent".parse().unwrap();
    let policy = Policy {
        upstream: Some(Upstream::new(upstream, None, Timeouts::default())),
        models: ModelMap::new(vec![("dev".to_owned(), "dev".to_owned())], Unlisted::Refused),
        bodies: BodyPolicy::default(),
        caps: Caps::default(),
        max_body_bytes: 1 << 20,
        body_time: Duration::from_secs(10),
    };
    Gate::new(policy, watch::channel(Arc::default()).1, Outside::default())
}

async fn told(answer: Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body: Bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask_http1(stream: TlsStream<UnixStream>, host: &str, path: &str) -> (StatusCode, String) {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new()).unwrap();
    told(sender.send_request(request).await.unwrap()).await
}

async fn ask_http2(stream: TlsStream<UnixStream>, uri: &str) -> (StatusCode, String) {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
    told(sender.send_request(request).await.unwrap()).await
}

#[tokio::test]
async fn both_kinds_of_http_are_spoken_to_who_believes_the_authority() {
    let place = Place::admitted();
    let stream = place.connect(NAME, "http/1.1").await.unwrap();
    let (status, text) = ask_http1(stream, NAME, "/v1/models").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.contains("\"dev\""), "{text}");
    let stream = place.connect(NAME, "h2").await.unwrap();
    let answer = ask_http2(stream, "https://inference.local/v1/models").await;
    assert_eq!(answer, (status, text));
}

#[tokio::test]
async fn other_names_and_other_authorities_are_not_believed() {
    let (place, other) = (Place::admitted(), Place::admitted());
    for name in ["localhost", "a.inference.local", "example.com", "127.0.0.1"] {
        assert!(place.connect(name, "h2").await.is_err(), "{name}");
    }
    let refused = connect(&place.socket(), &other.authority, NAME, "h2").await;
    assert!(refused.is_err(), "an authority is of one sandbox");
}

#[tokio::test]
async fn a_request_for_another_host_is_refused_in_both_kinds() {
    let place = Place::admitted();
    for host in ["example.com", "localhost", "inference.local:80"] {
        let stream = place.connect(NAME, "http/1.1").await.unwrap();
        let (status, text) = ask_http1(stream, host, "/v1/models").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{host}: {text}");
        assert!(text.contains("invalid_host"), "{host}: {text}");
        let stream = place.connect(NAME, "h2").await.unwrap();
        let (status, text) = ask_http2(stream, &format!("https://{host}/v1/models")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{host}: {text}");
        assert!(text.contains("invalid_host"), "{host}: {text}");
    }
}

/// A body that is given piece by piece.
struct Given(mpsc::Receiver<Bytes>);

impl Body for Given {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_read_on_and_its_stream_not_reset() {
    let place = Place::admitted();
    let stream = place.connect(NAME, "h2").await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let (give, given) = mpsc::channel(1);
    let request = Request::post("https://inference.local/api/pull").body(Given(given)).unwrap();
    let (status, text) = told(sender.send_request(request).await.unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
    for _ in 0..20 {
        give.send(Bytes::from_static(&[b'x'; 1000])).await.expect("the stream is open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_may_not_be_is_told_as_json_inside_tls() {
    let place = Place::open();
    for alpn in ["http/1.1", "h2"] {
        let stream = place.connect(NAME, alpn).await.unwrap();
        let (status, text) = match alpn {
            "h2" => ask_http2(stream, "https://inference.local/v1/models").await,
            _ => ask_http1(stream, NAME, "/v1/models").await,
        };
        assert_eq!(status, StatusCode::FORBIDDEN, "{text}");
        assert!(text.starts_with('{') && text.contains("no job has this sandbox"), "{text}");
    }
}

#[tokio::test]
async fn a_door_that_closes_ends_what_came_through_it() {
    let place = Place::admitted();
    let stream = place.connect(NAME, "h2").await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    let mut sender: http2::SendRequest<Empty<Bytes>> = sender;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    sender.ready().await.unwrap();
    place.door.close().await;
    tasks.join_next().await.unwrap().unwrap().ok();
    assert!(sender.is_closed());
    assert!(place.connect(NAME, "h2").await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_everything_to_a_proxy_finds_it_there() {
    let place = Place::admitted();
    let connect = "CONNECT inference.local:443 HTTP/1.1\r\nhost: inference.local:443\r\n\r\n";
    let (head, stream) = say(&place, connect).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let stream = shake_hands(stream, client(&place.authority, "h2"), NAME).await.unwrap();
    let (status, _) = ask_http2(stream, "https://inference.local/v1/models").await;
    assert_eq!(status, StatusCode::OK);
    let plain = "GET http://inference.local/v1/models HTTP/1.1\r\nhost: inference.local\r\n\r\n";
    let (head, _) = say(&place, plain).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn nothing_else_is_at_its_name() {
    let place = Place::admitted();
    for target in ["inference.local:444", "inference.local:80", "a.inference.local:443"] {
        let connect = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
        let (head, _) = say(&place, &connect).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{target}: {head}");
    }
}
