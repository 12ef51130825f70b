//! Streams cross byte by byte, at once, for as long as they talk.

use crate::world::{LINES_HEAD, Proxy, STREAM_HEAD, Upstream, post};
use std::time::Duration;

const EVENTS: &[u8] =
    b": hi\n\ndata:{\"a\":\"\xc3\xa9\"}\r\n\r\nevent: x\ndata: 1\ndata: 2\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn a_stream_arrives_as_it_was_sent_wherever_it_is_split() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send(post("/v1/chat/completions", "{}")).await;
    let (mut server, _) = upstream.call().await;
    for at in 1..EVENTS.len() {
        server.send(STREAM_HEAD).await;
        assert!(client.head().await.contains("text/event-stream"));
        for part in [&EVENTS[..at], &EVENTS[at..]] {
            server.chunk(part).await;
            // The next part is sent only after this one has arrived: nothing is held back.
            assert_eq!(client.next_chunk().await, Ok(Some(part.to_vec())), "split at {at}");
        }
        server.send("0\r\n\r\n").await;
        assert_eq!(client.next_chunk().await, Ok(None));
        // Both connections are used again.
        client.send(post("/v1/chat/completions", "{}")).await;
        assert!(server.message().await.complete);
    }
}

#[tokio::test]
async fn a_stream_that_talks_outlives_every_timeout() {
    let upstream = Upstream::open().await;
    let settings = [
        ("INFERENCE_PROXY_IDLE_MS", "400"),
        ("INFERENCE_PROXY_FIRST_BYTE_MS", "400"),
        ("INFERENCE_PROXY_TOTAL_MS", "400"),
    ];
    let proxy = Proxy::start(&upstream.url(), &settings).await;
    let (answer, ()) = tokio::join!(proxy.ask(post("/api/chat", "{}")), async {
        let (mut server, _) = upstream.call().await;
        server.send(LINES_HEAD).await;
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.chunk(b"{}\n").await;
        }
        server.send("0\r\n\r\n").await;
    });
    assert!(answer.complete);
    assert_eq!(answer.text(), "{}\n".repeat(10));
}

#[tokio::test]
async fn an_answer_that_is_no_stream_ends_at_its_total() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[("INFERENCE_PROXY_TOTAL_MS", "200")]).await;
    let (answer, ()) = tokio::join!(proxy.ask(post("/api/chat", "{}")), async {
        let (mut server, _) = upstream.call().await;
        server.send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
        server.closed().await;
    });
    assert!(!answer.complete);
}

#[tokio::test]
async fn an_answer_of_known_length_keeps_it() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send(post("/api/chat", "{}")).await;
    let (mut server, _) = upstream.call().await;
    for _ in 0..3 {
        server.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour").await;
        let answer = client.message().await;
        assert_eq!((answer.header("content-length"), answer.text().as_str()), (Some("4"), "four"));
        client.send(post("/api/chat", "{}")).await;
        // On the same connection to the upstream, too.
        assert!(server.message().await.complete);
    }
}

#[tokio::test]
async fn a_large_answer_waits_for_a_slow_reader() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send(post("/api/chat", "{}")).await;
    let (mut server, _) = upstream.call().await;
    let length = 64 << 20;
    server.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")).await;
    let flood = server.send(vec![b'x'; length]);
    let stalled = tokio::time::timeout(Duration::from_millis(500), flood).await;
    assert!(stalled.is_err(), "64 MiB went somewhere while nobody read them");
    let status = format!("/proc/{}/status", proxy.child.id().unwrap());
    let status = std::fs::read_to_string(status).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 32 << 10, "{kib} KiB resident");
}
