//! Providers that repeat what they were shown: no byte of the node's key comes back through the door.

#[path = "shared/routed.rs"]
mod routed;

use contracts::RouteAlias;
use gate::{
    Gate, Outside,
    providers::{Catalog, KeySource},
};
use routed::{policy, tenant};
use serde_json::json;
use std::path::Path;
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
};

const KEY: &str = "sk-planted-0123456789-wxyz";
const STREAM: &str = "content-type: text/event-stream\r\ntransfer-encoding: chunked";

/// What the provider says, where `KEY` stands for what it was shown.
const SAID: [(&str, &str); 5] = [
    ("200 OK\r\nx-request-id: KEY\r\ncontent-length: 46", "{\"done\":true,\"k\":\"KEY\"}"),
    ("403 Forbidden\r\ncontent-length: 52", "{\"error\":\"Bearer KEY it was\"}"),
    ("400 Bad Request\r\ncontent-length: 46", "{\"error\":\"Incorrect key: sk-plan*******wxyz.\"}"),
    (
        "500 Oh\r\ntransfer-encoding: chunked",
        "8\r\nsk-plant\r\n12\r\ned-0123456789-wxyz\r\n0\r\n\r\n",
    ),
    ("200 OK\r\nSTREAM", "2a\r\ndata: {\"k\":\"KEY\"}\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
];

#[tokio::test]
async fn a_key_that_a_provider_repeats_stays_here() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        for (head, body) in SAID {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard(&mut stream).await;
            let said = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
            let said = said.replace("STREAM", STREAM).replace("KEY", KEY);
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    });
    let key = KeySource::Given("1".repeat(64).into());
    let catalog = Catalog::open(Store::open(folder.path()).unwrap(), &key, None).await.unwrap();
    let request = json!({"version": 1, "name": "p", "type": "openai", "validate": false,
                         "base_url": url, "credential": KEY});
    catalog.create_provider(serde_json::from_value(request).unwrap()).await.unwrap();
    let request = json!({"version": 1, "provider": "p", "model": "m", "validate": false});
    let request = serde_json::from_value(request).unwrap();
    catalog.set_route(RouteAlias::new(RouteAlias::DEFAULT).unwrap(), request).await.unwrap();

    let socket = folder.path().join("gate.sock");
    let gate = Gate::new(policy(), catalog.watch(), Outside::default());
    let door = gate.open(UnixListener::bind(&socket).unwrap());
    assert!(door.admit(tenant()));
    for (head, body) in SAID {
        let answer = asked(&socket).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {}", &head[..3])), "{answer}");
        for part in ["planted", "sk-plan", "0123456789", "wxyz"] {
            assert!(!answer.contains(part), "{part}: {answer}");
        }
        assert!(answer.contains("********"), "{answer}");
        let (end, whole) = (body.ends_with("0\r\n\r\n"), answer.ends_with("0\r\n\r\n"));
        assert_eq!(end, whole, "{answer}");
    }
    door.close().await;
}

async fn heard(stream: &mut TcpStream) {
    let mut heard = Vec::new();
    while !heard.ends_with(b"]}") {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0);
    }
    assert!(String::from_utf8_lossy(&heard).contains(&format!("Bearer {KEY}\r\n")));
}

async fn asked(socket: &Path) -> String {
    // Its last bytes tell the provider that it has all of it.
    let body =
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = UnixStream::connect(socket).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _broken = connection.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
