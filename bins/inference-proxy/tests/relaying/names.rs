//! DNS through the proxy: a question by UDP is a request to the upstream, and every question is answered.

use crate::world::{Proxy, Upstream, soon};
use tokio::net::UdpSocket;

/// Bytes of a question; the proxy looks at its flags alone.
const QUESTION: &[u8] = b"\x12\x34\x01\x00 what is asked";
const ANSWER: &[u8] = b"\x12\x34\x81\x80 what is told";
/// The question, as an answer that says that the server failed.
const FAILED: &[u8] = b"\x12\x34\x81\x82 what is asked";

async fn start(upstream: &str) -> (Proxy, UdpSocket) {
    let proxy = Proxy::start(upstream, &[("INFERENCE_PROXY_DNS_LISTEN", "127.0.0.1:0")]).await;
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(proxy.names.as_ref().unwrap()).await.unwrap();
    (proxy, client)
}

async fn heard(client: &UdpSocket) -> Vec<u8> {
    let mut message = [0; 1024];
    let length = soon("an answer", client.recv(&mut message)).await.unwrap();
    message[..length].to_vec()
}

fn told(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn a_question_is_asked_of_the_upstream_and_its_answer_comes_back() {
    let upstream = Upstream::open().await;
    let (_proxy, client) = start(&upstream.url()).await;
    client.send(QUESTION).await.unwrap();
    let (mut peer, request) = upstream.call().await;
    assert!(request.head.starts_with("POST /dns-query HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.header("content-type"), Some("application/dns-message"));
    assert_eq!(request.body, QUESTION);
    peer.send(told("200 OK", "application/dns-message", ANSWER)).await;
    assert_eq!(heard(&client).await, ANSWER);
}

#[tokio::test]
async fn whoever_can_not_be_answered_is_told_at_once() {
    let (_proxy, client) = start("unix:///nonexistent").await;
    client.send(QUESTION).await.unwrap();
    assert_eq!(heard(&client).await, FAILED);

    let upstream = Upstream::open().await;
    let (_proxy, client) = start(&upstream.url()).await;
    for answer in [
        told("503 Service Unavailable", "application/dns-message", ANSWER),
        told("200 OK", "application/json", b"{}"),
        told("200 OK", "application/dns-message", &[0; 513]),
    ] {
        client.send(QUESTION).await.unwrap();
        let (mut peer, _) = upstream.call().await;
        peer.send(answer).await;
        assert_eq!(heard(&client).await, FAILED);
    }
    // Silence has its bound, too.
    client.send(QUESTION).await.unwrap();
    let (_silent, _) = upstream.call().await;
    assert_eq!(heard(&client).await, FAILED);
}

#[tokio::test]
async fn what_is_too_long_or_an_answer_itself_makes_nothing() {
    let upstream = Upstream::open().await;
    let (_proxy, client) = start(&upstream.url()).await;
    client.send(&[0; 513]).await.unwrap();
    assert!(upstream.nobody_calls().await);
    client.send(ANSWER).await.unwrap();
    let (mut peer, _) = upstream.call().await;
    peer.send(told("503 Service Unavailable", "text/plain", b"")).await;
    client.send(QUESTION).await.unwrap();
    peer.message().await;
    peer.send(told("200 OK", "application/dns-message", b"the first to come")).await;
    assert_eq!(heard(&client).await, b"the first to come");
}
