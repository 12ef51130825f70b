//! What a client may not hold for ever: a place, a connection, an upstream.

use crate::world::{Proxy, Upstream, post, soon};
use std::time::Duration;
use tokio::time::timeout;

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn an_answer_that_is_left_unread_ends() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[("INFERENCE_PROXY_IDLE_MS", "200")]).await;
    let mut client = proxy.client().await;
    client.send(post("/api/chat", "{}")).await;
    let (mut server, _) = upstream.call().await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    server.send(head).await;
    let flood = vec![b'x'; 1 << 20];
    let written = async {
        use tokio::io::AsyncWriteExt;
        while server.stream.write_all(&flood).await.is_ok() {}
    };
    soon("its end", written).await;
}

#[tokio::test]
async fn a_connection_too_many_waits_for_its_place() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[("INFERENCE_PROXY_MAX_CONNECTIONS", "1")]).await;
    let mut first = proxy.client().await;
    first.send(HEALTH).await;
    assert_eq!(first.message().await.status(), 200);
    let mut second = proxy.client().await;
    second.send(HEALTH).await;
    assert!(timeout(Duration::from_millis(100), second.head()).await.is_err());
    drop(first);
    assert!(second.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_head_has_its_size() {
    let proxy = Proxy::start("unix:///nonexistent", &[]).await;
    let long = "x".repeat(300 << 10);
    let answer = proxy.ask(format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n")).await;
    assert_eq!(answer.status(), 431);
    let many = "x: y\r\n".repeat(200);
    let answer = proxy.ask(format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await;
    assert_eq!(answer.status(), 431);
}

#[tokio::test]
async fn an_answer_without_a_body_has_none() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send("HEAD /api/tags HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut server, _) = upstream.call().await;
    server.send("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n").await;
    assert!(client.head().await.contains("content-length: 77\r\n"));
    client.send("DELETE /api/x HTTP/1.1\r\nhost: a\r\n\r\n").await;
    server.message().await;
    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 204 ") && !head.contains("content-length"), "{head}");
    client.send(HEALTH).await;
    assert_eq!(client.message().await.text(), "ok");
}
