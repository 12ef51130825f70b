//! Whatever an upstream does wrong, the client is told, and never believes an answer to be complete.

use crate::world::{LINES_HEAD, Peer, Proxy, STREAM_HEAD, Upstream, post};
use tokio::net::TcpStream;

const SHORT: [(&str, &str); 3] = [
    ("INFERENCE_PROXY_FIRST_BYTE_MS", "200"),
    ("INFERENCE_PROXY_IDLE_MS", "200"),
    ("INFERENCE_PROXY_CONNECT_MS", "1000"),
];

/// What comes before the fault, by the dialect, and what the error looks like in it.
const STREAMS: [(&str, &str, &str, &str); 3] = [
    ("/api/chat", LINES_HEAD, "{\"a\":1}\n", "{\"error\":\"the upstream "),
    ("/v1/chat/completions", STREAM_HEAD, "data: 1\n\n", "data: {\"error\":{\"code\":\"upstream_"),
    (
        "/v1/messages",
        STREAM_HEAD,
        "data: 1\r\n\r\n",
        "event: error\ndata: {\"error\":{\"message\":",
    ),
];

enum Fault {
    Stall,
    Cut,
    Reset,
    Malformed,
}

async fn commit(fault: &Fault, mut server: Peer<TcpStream>) {
    match fault {
        Fault::Stall => server.closed().await,
        Fault::Cut => {}
        Fault::Reset => server.stream.set_zero_linger().unwrap(),
        Fault::Malformed => {
            server.send("xyz\r\nnonsense\r\n").await;
            server.closed().await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_and_is_never_complete() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &SHORT).await;
    for fault in [Fault::Stall, Fault::Cut, Fault::Reset, Fault::Malformed] {
        for (path, head, before, error) in STREAMS {
            let mut client = proxy.client().await;
            client.send(post(path, "{}")).await;
            let (mut server, _) = upstream.call().await;
            server.send(head).await;
            server.chunk(before.as_bytes()).await;
            client.head().await;
            assert_eq!(client.next_chunk().await, Ok(Some(before.into())));
            let told = async {
                let told = client.next_chunk().await.unwrap().unwrap();
                assert_eq!(client.next_chunk().await, Err(()), "{path}");
                String::from_utf8(told).unwrap()
            };
            let (told, ()) = tokio::join!(told, commit(&fault, server));
            assert!(told.starts_with(error), "{told}");
            assert!(told.ends_with('\n'), "{told}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_within_a_frame_just_breaks() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &SHORT).await;
    for (path, head, _, _) in STREAMS {
        let (answer, ()) = tokio::join!(proxy.ask(post(path, "{}")), async {
            let (mut server, _) = upstream.call().await;
            server.send(head).await;
            server.chunk(b"data: {\"ha").await;
        });
        assert!(!answer.complete);
        assert_eq!(answer.text(), "data: {\"ha");
    }
}

#[tokio::test]
async fn a_whole_answer_that_breaks_is_not_complete() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &SHORT).await;
    let known =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"a\"";
    let chunked = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n";
    for answer in [known, chunked] {
        for fault in [Fault::Stall, Fault::Cut, Fault::Reset] {
            let (answer, ()) = tokio::join!(proxy.ask(post("/v1/models", "{}")), async {
                let (mut server, _) = upstream.call().await;
                server.send(answer).await;
                tokio::task::yield_now().await;
                commit(&fault, server).await;
            });
            assert!(!answer.complete);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_a_504_in_the_clients_dialect() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &SHORT).await;
    for (path, body) in [
        ("/api/chat", "{\"error\":\"the upstream did not answer"),
        ("/v1/embeddings", "{\"error\":{\"code\":\"upstream_timeout\""),
        ("/v1/messages", "{\"error\":{\"message\":\"the upstream did not answer"),
    ] {
        for begun in ["", "HTTP/1.1 200 OK\r\ncontent-"] {
            let (answer, ()) = tokio::join!(proxy.ask(post(path, "{}")), async {
                let (mut server, _) = upstream.call().await;
                server.send(begun).await;
                server.closed().await;
            });
            assert_eq!((answer.status(), answer.complete), (504, true), "{path}");
            assert!(answer.text().starts_with(body), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_answer_that_can_not_be_passed_on_is_a_502() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &SHORT).await;
    for (answer, code) in [
        ("", "upstream_cut"),
        ("HTTP/1.1 200 OK\r\nconte", "upstream_cut"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "upstream_malformed"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "upstream_malformed"),
        ("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\r\n", "upstream_redirect"),
        ("HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\n\r\n", "upstream_redirect"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "upstream_redirect",
        ),
    ] {
        let (told, ()) = tokio::join!(proxy.ask(post("/v1/models", "{}")), async {
            let (mut server, _) = upstream.call().await;
            server.send(answer).await;
        });
        assert_eq!(told.status(), 502, "{answer}: {told:?}");
        assert!(told.text().contains(code), "{answer}: {}", told.text());
        assert_eq!(told.header("location"), None);
        assert!(upstream.nobody_calls().await, "{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let nobody = Upstream::open().await.url();
    for url in [nobody.as_str(), "unix:///nonexistent/gate.sock"] {
        let proxy = Proxy::start(url, &SHORT).await;
        let answer = proxy.ask(post("/v1/messages", "{}")).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().contains("can't be reached"), "{}", answer.text());
        assert!(!answer.text().contains("gate.sock"));
    }
}

#[tokio::test]
async fn what_the_provider_says_of_limits_is_kept() {
    let upstream = Upstream::open().await;
    let proxy = Proxy::start(&upstream.url(), &[]).await;
    let body = "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}";
    let (answer, ()) = tokio::join!(proxy.ask(post("/v1/messages", "{}")), async {
        let (mut server, _) = upstream.call().await;
        let length = body.len();
        let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\nrequest-id: r1\r\n\
                    connection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\n";
        server.send(format!("{head}content-length: {length}\r\n\r\n{body}")).await;
    });
    assert_eq!((answer.status(), answer.text().as_str()), (429, body));
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.header("request-id"), Some("r1"));
    assert_eq!((answer.header("x-hop"), answer.header("keep-alive")), (None, None));
}
