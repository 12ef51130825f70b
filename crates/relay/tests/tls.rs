//! An upstream behind TLS: who is believed, and how long a handshake may take.

use hyper::Request;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use relay::{Dialect, Location, RelayError, Relayed, RequestBody, Timeouts, Trust, Upstream};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct World {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    folder: tempfile::TempDir,
}

impl World {
    /// A server that proves to be `name` to whoever believes its own certificate.
    async fn of(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn upstream(&self, trust: Trust, connect: Duration) -> Upstream {
        let port = self.listener.local_addr().unwrap().port();
        let location: Location = format!("https://localhost:{port}").parse().unwrap();
        // The name is proven; the address is the one that was approved.
        let location = location.at(vec![self.listener.local_addr().unwrap()]);
        Upstream::new(location, Some(trust), Timeouts { connect, ..Timeouts::default() })
    }

    /// Answers that many requests on one connection.
    async fn answer(&self, requests: usize) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let Ok(mut stream) = self.acceptor.accept(stream).await else { return };
        for _ in 0..requests {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(ANSWER).await.unwrap();
        }
    }
}

async fn ask(upstream: &Upstream) -> Result<hyper::Response<Relayed>, RelayError> {
    let request = Request::get("/v1/models").body(RequestBody::whole("")).unwrap();
    upstream.send(request, Dialect::OpenAi).await
}

async fn body(answer: hyper::Response<Relayed>) -> Vec<u8> {
    use http_body_util::BodyExt;
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn a_given_authority_is_believed_and_the_connection_used_again() {
    let world = World::of("localhost").await;
    let trust = Trust::load(Some(&world.ca())).unwrap();
    let upstream = world.upstream(trust, Duration::from_secs(5));
    let asked = async {
        for _ in 0..3 {
            assert_eq!(body(ask(&upstream).await.unwrap()).await, b"ok");
        }
    };
    tokio::join!(asked, world.answer(3));
}

#[tokio::test]
async fn nobody_else_is() {
    let (stranger, other) = (World::of("localhost").await, World::of("other.test").await);
    for (world, believed) in [(&stranger, &other), (&other, &other)] {
        let trust = Trust::load(Some(&believed.ca())).unwrap();
        let upstream = world.upstream(trust, Duration::from_secs(5));
        let (answer, ()) = tokio::join!(ask(&upstream), world.answer(0));
        assert!(matches!(answer, Err(RelayError::Connect(_))));
    }
}

#[tokio::test]
async fn a_handshake_that_stalls_is_bounded_and_the_next_call_is_not_its_victim() {
    let world = World::of("localhost").await;
    let trust = Trust::load(Some(&world.ca())).unwrap();
    let upstream = world.upstream(trust, Duration::from_millis(300));
    let (answer, stalled) = tokio::join!(ask(&upstream), world.listener.accept());
    assert!(matches!(answer, Err(RelayError::SlowConnect(_))));
    drop(stalled);
    let (answer, ()) =
        tokio::join!(async { body(ask(&upstream).await.unwrap()).await }, world.answer(1));
    assert_eq!(answer, b"ok");
}

#[test]
fn a_file_without_certificates_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pem");
    std::fs::write(&path, "nothing").unwrap();
    for path in [path, folder.path().join("missing.pem")] {
        let refused = Trust::load(Some(&path)).err().unwrap().to_string();
        assert!(refused.contains("no certificates"), "{refused}");
    }
}
