//! The program itself: where it listens, how it is asked, how it ends.

use crate::world::{Peer, Proxy, STREAM_HEAD, Upstream, command, post, soon};
use clap::CommandFactory;
use tokio::net::{UnixListener, UnixStream};

#[tokio::test]
async fn it_is_well_without_its_upstream() {
    let proxy = Proxy::start("unix:///nonexistent", &[]).await;
    let answer = proxy.ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn sockets_do_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (gate, own) = (folder.path().join("gate"), folder.path().join("own"));
    let listener = UnixListener::bind(&gate).unwrap();
    let own_text = own.to_str().unwrap();
    let settings = [("INFERENCE_PROXY_SOCKET", own_text)];
    let url = format!("unix://{}", gate.display());
    let mut proxy = Proxy::start(&url, &settings).await;
    // It tells of its address first, and listens on the socket a moment later.
    let connected = soon("its socket", async {
        loop {
            match UnixStream::connect(&own).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    let mut client = Peer::new(connected.await);
    client.send(post("/api/chat", "{}")).await;
    let mut server = Peer::new(soon("a call", listener.accept()).await.unwrap().0);
    let seen = server.message().await;
    assert_eq!((seen.header("host"), seen.text().as_str()), (Some("localhost"), "{}"));
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(client.message().await.text(), "ok");
    // A client that goes is noticed here, too.
    client.send(post("/api/chat", "{}")).await;
    server.message().await;
    drop(client);
    server.closed().await;

    let healthy = command().args(["--inference-proxy-socket", own_text, "healthcheck"]).status();
    assert!(healthy.await.unwrap().success());
    // A proxy that was killed leaves its socket, and the next one takes the place.
    proxy.child.kill().await.unwrap();
    let healthy = command().args(["--inference-proxy-socket", own_text, "healthcheck"]).status();
    assert!(!healthy.await.unwrap().success());
    Proxy::start(&url, &settings).await;
}

#[tokio::test]
async fn it_gives_up_files_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("own");
    let settings = [
        ("INFERENCE_PROXY_NO_FILES", "true"),
        ("INFERENCE_PROXY_SOCKET", socket.to_str().unwrap()),
    ];
    let proxy = Proxy::start("unix:///nonexistent", &settings).await;
    let limits = format!("/proc/{}/limits", proxy.child.id().unwrap());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file size")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    let answer = proxy.ask("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer.status(), 200);
    assert!(socket.exists());
}

#[tokio::test]
async fn what_is_under_way_ends_before_it_does() {
    let upstream = Upstream::open().await;
    let mut proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let (mut server, _) = upstream.call().await;
    server.send(STREAM_HEAD).await;
    client.head().await;
    proxy.terminate();
    soon("no more connections", async {
        while tokio::net::TcpStream::connect(&proxy.place).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.chunk(b"data: 1\n\n").await;
    server.send("0\r\n\r\n").await;
    assert_eq!(client.next_chunk().await, Ok(Some(b"data: 1\n\n".to_vec())));
    assert_eq!(client.next_chunk().await, Ok(None));
    assert!(soon("its end", proxy.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let upstream = Upstream::open().await;
    let mut proxy = Proxy::start(&upstream.url(), &[("INFERENCE_PROXY_DRAIN_MS", "100")]).await;
    let mut client = proxy.client().await;
    client.send(post("/api/chat", "{}")).await;
    let (mut server, _) = upstream.call().await;
    proxy.terminate();
    server.closed().await;
    assert!(soon("its end", proxy.child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn it_says_what_it_is() {
    let version = command().arg("--version").output().await.unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("inference-proxy "));
    let help = command().arg("--help").output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for variable in ["INFERENCE_PROXY_LISTEN", "INFERENCE_PROXY_SOCKET", "OLLAMA_UPSTREAM_URL"] {
        assert!(help.contains(variable), "{variable}");
    }
    assert!(help.contains("http://host.containers.internal:11434"));
    assert!(help.contains("127.0.0.1:11434"));
}

#[tokio::test]
async fn all_that_is_wrong_with_its_settings_is_told_at_once() {
    let wrong = [
        ("OLLAMA_UPSTREAM_URL", "http://u:p4ss@a"),
        ("INFERENCE_PROXY_IDLE_MS", "0"),
        ("INFERENCE_PROXY_TLS_LISTEN", "127.0.0.1:0"),
    ];
    let refused = command().envs(wrong).output().await.unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("OLLAMA_UPSTREAM_URL: must not hold a user"), "{told}");
    assert!(told.contains("INFERENCE_PROXY_IDLE_MS: must be"), "{told}");
    assert!(told.contains("INFERENCE_PROXY_TLS_UPSTREAM: is missing"), "{told}");
    assert!(!told.contains("p4ss"), "{told}");
}

#[test]
fn the_page_names_every_setting_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/inference-proxy.md");
    let page = std::fs::read_to_string(path).unwrap();
    for argument in inference_proxy::Config::command().get_arguments() {
        let Some(variable) = argument.get_env() else { continue };
        let named = format!("`{}`", variable.display());
        let line = page.lines().find(|line| line.contains(&named));
        let line = line.unwrap_or_else(|| panic!("{path} does not name {named}"));
        for default in argument.get_default_values() {
            assert!(line.contains(&format!("`{}`", default.display())), "{named}: {line}");
        }
    }
}
