//! A client that goes takes its call along, whatever the call was at.

use crate::world::{Proxy, STREAM_HEAD, Upstream, post};
use std::time::{Duration, Instant};

/// The promise; on a loaded machine one of a few attempts must keep it.
const BOUND: Duration = Duration::from_millis(100);
const ATTEMPTS: usize = 5;

async fn reaches_the_upstream(answer_before: &str, bytes_after: &str) {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut quickest = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let mut client = proxy.client().await;
        client.send(post("/v1/chat/completions", "{}") + bytes_after).await;
        let (mut server, _) = upstream.call().await;
        if !answer_before.is_empty() {
            server.send(answer_before).await;
            client.head().await;
        }
        let gone = Instant::now();
        drop(client);
        server.closed().await;
        quickest = quickest.min(gone.elapsed());
    }
    assert!(quickest <= BOUND, "{quickest:?} at best");
}

#[tokio::test]
async fn before_the_first_byte() {
    reaches_the_upstream("", "").await;
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    reaches_the_upstream(&format!("{STREAM_HEAD}9\r\ndata: 1\n\n\r\n"), "").await;
}

#[tokio::test]
async fn in_an_answer_that_does_not_stream() {
    reaches_the_upstream("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", "").await;
}

#[tokio::test]
async fn behind_stray_bytes() {
    reaches_the_upstream("", "\r\n").await;
}

#[tokio::test]
async fn behind_another_request() {
    let next = post("/v1/models", "{}");
    reaches_the_upstream(&format!("{STREAM_HEAD}9\r\ndata: 1\n\n\r\n"), &next).await;
}

#[tokio::test]
async fn in_the_middle_of_its_own_request() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send("POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let mut server = upstream.accept().await;
    server.head().await;
    drop(client);
    server.closed().await;
}
