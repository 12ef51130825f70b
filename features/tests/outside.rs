//! The world outside of a scenario: a server with TLS and one without, on an address of the host's own
//! that is not its loopback. It writes down what reaches it.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    fmt, io,
    net::{IpAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// What it says to everybody.
pub(crate) const WORDS: &str = "forward-proxy-ok";

pub(crate) const USUAL_TLS_PORT: u16 = 443;

/// Here it says them again and again, and never comes to an end.
pub(crate) const ENDLESS: &str = "/endless";
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) address: IpAddr,
    pub(crate) tls_port: u16,
    pub(crate) plain_port: u16,
    pub(crate) authority: String,
    acceptor: Acceptor,
    seen: Arc<Mutex<Seen>>,
    serving: JoinSet<()>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    heads: Vec<String>,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let names = ["allowed.test".to_owned(), "other.test".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a server");
        let acceptor = Acceptor(TlsAcceptor::from(Arc::new(config)));
        let address = own_address();
        let tls = TcpListener::bind((address, 0)).await.expect("a port");
        let plain = TcpListener::bind((address, 0)).await.expect("a port");
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let (tls_port, plain_port) = (port(&tls), port(&plain));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(tls, Some(acceptor.clone()), Arc::clone(&seen)));
        serving.spawn(serve(plain, None, Arc::clone(&seen)));
        let authority = cert.pem();
        Self { address, tls_port, plain_port, authority, acceptor, seen, serving }
    }

    /// Serves TLS where clients look that are told no port. There is one such port for all.
    pub(crate) async fn take_usual_port(&mut self) {
        let listener = TcpListener::bind((self.address, USUAL_TLS_PORT)).await;
        let listener = listener.expect("nobody else has port 443 of this machine's address");
        self.serving.spawn(serve(listener, Some(self.acceptor.clone()), Arc::clone(&self.seen)));
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("not poisoned").connections
    }

    /// The heads of requests, as they came.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("not poisoned").heads.clone()
    }
}

/// No packet is sent: this asks the routing table which address the host itself has.
fn own_address() -> IpAddr {
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    asked.expect("the host has an address beside its loopback").ip()
}

async fn serve(listener: TcpListener, tls: Option<Acceptor>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock().expect("not poisoned").connections += 1;
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            match tls {
                None => answer(stream, seen).await,
                Some(tls) => {
                    if let Ok(stream) = tls.0.accept(stream).await {
                        answer(stream, seen).await;
                    }
                }
            }
        });
    }
}

/// Answers request after request, as a server that keeps connections does.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Mutex<Seen>>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        bytes.extend_from_slice(&piece[..read]);
        while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = bytes.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head).into_owned();
            let is_endless = head.split(' ').nth(1) == Some(ENDLESS);
            seen.lock().expect("not poisoned").heads.push(head);
            if is_endless {
                let _gone = go_on(&mut stream).await;
                return;
            }
            let said = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-outside: yes\r\n\r\n{WORDS}",
                WORDS.len()
            );
            if stream.write_all(said.as_bytes()).await.is_err() {
                return;
            }
        }
    }
    let _gone = stream.shutdown().await;
}

async fn go_on(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = format!("{:x}\r\n{WORDS}\r\n", WORDS.len());
    loop {
        stream.write_all(chunk.as_bytes()).await?;
        tokio::time::sleep(PACE).await;
    }
}
