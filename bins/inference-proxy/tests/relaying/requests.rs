//! What of a request crosses, and which requests don't.

use crate::world::{Proxy, Upstream, post, soon};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const MAX_BODY: usize = 10 << 20;

#[tokio::test]
async fn credentials_and_headers_of_the_connection_stay_here() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&format!("{}/base/", upstream.url()), &[]).await;
    let request = "POST /v1/messages?beta=true HTTP/1.1\r\nHost: localhost:11434\r\n\
        Authorization: Bearer sk-secret\r\nX-Api-Key: sk-secret\r\nApi-Key: sk-secret\r\n\
        Cookie: sk-secret\r\nProxy-Authorization: sk-secret\r\nConnection: keep-alive, X-Hop\r\n\
        X-Hop: sk-secret\r\nTE: trailers\r\nUpgrade: h2c\r\nAnthropic-Version: 2023-06-01\r\n\
        X-Stainless-Lang: python\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let (answer, seen) = tokio::join!(proxy.ask(request), async {
        let (mut server, seen) = upstream.call().await;
        server.send(OK).await;
        seen
    });
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
    assert!(
        seen.head.starts_with("POST /base/v1/messages?beta=true HTTP/1.1\r\n"),
        "{}",
        seen.head
    );
    assert_eq!(seen.header("host"), upstream.url().strip_prefix("http://"));
    assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(seen.header("x-stainless-lang"), Some("python"));
    assert_eq!((seen.header("content-length"), seen.text().as_str()), (Some("2"), "{}"));
    assert!(!seen.head.contains("sk-secret"), "{}", seen.head);
    for name in ["te", "upgrade", "connection", "x-hop"] {
        assert_eq!(seen.header(name), None);
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_not_relayed() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for (lines, status) in [
        ("content-length: 4\r\ntransfer-encoding: chunked", 400),
        ("transfer-encoding: chunked\r\ncontent-length: 4", 400),
        ("content-length: 4\r\ncontent-length: 4", 400),
        ("content-length: 4\r\ncontent-length: 5", 400),
        ("content-length: +4", 400),
        ("content-length: 0x4", 400),
        ("transfer-encoding: chunked, identity", 400),
        ("transfer-encoding: gzip, chunked", 400),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", 400),
        ("x: a\r\n folded", 400),
        ("x: a\ntransfer-encoding: chunked", 400),
        ("x: a\0b", 400),
        ("x : a", 400),
        ("host: second", 400),
        ("upgrade: websocket\r\nconnection: upgrade", 400),
    ] {
        let request = format!("POST /api/chat HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n{smuggled}");
        let mut client = proxy.client().await;
        client.send(request).await;
        let answer = client.message().await;
        assert_eq!(answer.status(), status, "{lines:?}: {answer:?}");
        soon("the end", client.closed()).await;
    }
    for (line, status) in [
        ("GET http://evil.test/ HTTP/1.1", 400),
        ("GET http://user@localhost/ HTTP/1.1", 400),
        ("CONNECT evil.test:443 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET /a%00b HTTP/1.1", 400),
        ("GET /a\x01b HTTP/1.1", 400),
        ("GET / HTTP/1.0", 505),
        ("PRI * HTTP/2.0", 400),
        ("nonsense", 400),
    ] {
        let answer = proxy.ask(format!("{line}\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answer.status(), status, "{line}: {answer:?}");
    }
    let answer = proxy.ask("GET /api/tags HTTP/1.1\nhost: a\n\n").await;
    assert_eq!(answer.status(), 400);
    assert!(upstream.nobody_calls().await);
}

#[tokio::test]
async fn a_chunked_request_is_relayed_and_ends_its_connection() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    let head = "POST /api/chat HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    client
        .send(format!("{head}2;ext=1\r\n{{}}\r\n0\r\ntrailer: 1\r\n\r\n{}", post("/b", "")))
        .await;
    let (mut server, seen) = upstream.call().await;
    assert_eq!((seen.text().as_str(), seen.complete), ("{}", true));
    server.send(OK).await;
    let answer = client.message().await;
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", Some("close")));
    client.closed().await;
}

#[tokio::test]
async fn the_largest_body_passes_and_a_byte_more_is_a_413() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    for chunked in [false, true] {
        let body = "x".repeat(MAX_BODY);
        let framed = |body: &str| match chunked {
            false => post("/v1/chat/completions", body),
            true => format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                 {:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            ),
        };
        let (answer, ()) = tokio::join!(proxy.ask(framed(&body)), async {
            let (mut server, seen) = upstream.call().await;
            assert_eq!((seen.body.len(), seen.complete), (MAX_BODY, true));
            server.send(OK).await;
        });
        assert_eq!(answer.status(), 200);

        // All of it is written before the answer is read, and the answer is there all the same.
        let mut client = proxy.client().await;
        let too_large = framed(&(body + "x"));
        let asked = async {
            client.send(too_large).await;
            client.message().await
        };
        let cut_off = async {
            if chunked {
                upstream.accept().await.closed().await;
            }
        };
        let (answer, ()) = tokio::join!(asked, cut_off);
        assert_eq!((answer.status(), answer.complete), (413, true), "chunked: {chunked}");
        assert!(answer.text().contains("request_too_large"), "{}", answer.text());
        client.closed().await;
    }
    assert!(upstream.nobody_calls().await, "a body that says it is too large is not begun");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let head = "POST /v1/messages HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n";
    let answer = proxy.ask(format!("{head}content-length: 99999999\r\n\r\n")).await;
    assert_eq!(answer.status(), 413);
    assert!(answer.text().contains("request_too_large"));

    let mut client = proxy.client().await;
    client.send(format!("{head}content-length: 2\r\n\r\n")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    client.send("{}").await;
    let (mut server, seen) = upstream.call().await;
    assert_eq!((seen.header("expect"), seen.text().as_str()), (None, "{}"));
    server.send(OK).await;
    assert_eq!(client.message().await.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[("INFERENCE_PROXY_REQUEST_BODY_MS", "200")]).await;
    let begun = "POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf";
    let answer = proxy.ask(begun).await;
    assert_eq!(answer.status(), 408);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_arrives() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send("POST /api/chat HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf").await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = client.message().await;
    assert_eq!((answer.status(), answer.text().as_str()), (401, "no"));
    // What was cut short on one side can't be used again on the other.
    server.closed().await;
}

#[tokio::test]
async fn an_upstream_that_closed_an_idle_connection_is_called_on_a_new_one() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    for _ in 0..3 {
        client.send(post("/api/chat", "{}")).await;
        let (mut server, seen) = upstream.call().await;
        assert_eq!(seen.text(), "{}");
        server.send(OK).await;
        assert_eq!(client.message().await.status(), 200);
        drop(server);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_twice() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let mut client = proxy.client().await;
    client.send(post("/api/chat", "{}")).await;
    let (mut server, _) = upstream.call().await;
    server.send(OK).await;
    assert_eq!(client.message().await.status(), 200);
    client.send(post("/api/chat", "{}")).await;
    server.message().await;
    drop(server);
    assert_eq!(client.message().await.status(), 502);
    assert!(upstream.nobody_calls().await);
}
