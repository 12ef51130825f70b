//! The way of TLS through the proxy: bytes that it does not understand, both ways, until either end.

use crate::world::{Proxy, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
};

struct Through {
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl Through {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = format!("unix://{}", folder.path().join("tls.sock").display());
        let settings = [
            ("INFERENCE_PROXY_TLS_LISTEN", "127.0.0.1:0"),
            ("INFERENCE_PROXY_TLS_UPSTREAM", upstream.as_str()),
            ("INFERENCE_PROXY_CONNECT_MS", "2000"),
        ];
        let proxy = Proxy::start("unix:///nonexistent", &settings).await;
        Self { proxy, folder }
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(self.folder.path().join("tls.sock")).unwrap()
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.passage.as_ref().unwrap()).await.unwrap()
    }

    async fn pair(&self, listener: &UnixListener) -> (TcpStream, UnixStream) {
        let client = self.client().await;
        (client, soon("a connection", listener.accept()).await.unwrap().0)
    }
}

#[tokio::test]
async fn every_byte_passes_in_both_directions_and_an_end_does_too() {
    let through = Through::start().await;
    let listener = through.listen();
    let (mut client, mut server) = through.pair(&listener).await;
    let odd: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let sent = async {
        client.write_all(&odd).await.unwrap();
        client.shutdown().await.unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap();
        back
    };
    let echoed = async {
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        server.write_all(&heard).await.unwrap();
        drop(server);
    };
    let (back, ()) = soon("both ways", async { tokio::join!(sent, echoed) }).await;
    assert!(back == odd);
}

#[tokio::test]
async fn a_client_that_goes_is_gone_at_the_other_end() {
    let through = Through::start().await;
    let listener = through.listen();
    let (client, mut server) = through.pair(&listener).await;
    drop(client);
    assert_eq!(soon("the end", server.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_node_that_starts_again_is_waited_for() {
    let through = Through::start().await;
    let mut client = through.client().await;
    client.write_all(b"early").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    let listener = through.listen();
    let mut server = soon("a connection", listener.accept()).await.unwrap().0;
    let mut heard = [0; 5];
    soon("what was said", server.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"early");
}

#[tokio::test]
async fn one_that_does_not_come_ends_the_connection_in_time() {
    let through = Through::start().await;
    let mut client = through.client().await;
    assert_eq!(soon("the end", client.read(&mut [0; 8])).await.unwrap(), 0);
}
