//! A provider that serves one model for one key, and whose streams go on until they are told to end.

use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

/// What a call says whose answer is to wait for the end.
pub(crate) const HELD: &str = "hold this";

/// Between two frames of a stream.
const PACE: Duration = Duration::from_millis(200);

pub(crate) struct Provider {
    pub(crate) url: String,
    pub(crate) key: String,
    /// How many calls it has held so far.
    pub(crate) holds: watch::Sender<u64>,
    _serving: JoinSet<()>,
}

struct Knows {
    key: String,
    model: String,
    end: watch::Receiver<bool>,
    holds: watch::Sender<u64>,
}

impl Provider {
    /// `end` tells the streams to say how many frames they had, and that this is all.
    pub(crate) async fn start(name: &str, end: watch::Receiver<bool>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let key = format!("key-of-{name}");
        let holds = watch::Sender::new(0);
        let (model, counted) = (format!("model-of-{name}"), holds.clone());
        let knows = Arc::new(Knows { key: key.clone(), model, end, holds: counted });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(connection(stream, Arc::clone(&knows)));
            }
        });
        Self { url, key, holds, _serving: serving }
    }
}

async fn connection(mut stream: TcpStream, knows: Arc<Knows>) {
    let mut unread = Vec::new();
    while let Some((head, body)) = next(&mut stream, &mut unread).await {
        let said = match () {
            () if !head.contains(&format!("authorization: bearer {}\r\n", knows.key)) => {
                whole("403 Forbidden", "{\"error\":\"another key\"}")
            }
            () if body["model"] != *knows.model => {
                whole("400 Bad Request", "{\"error\":\"another model\"}")
            }
            () if body["stream"] == true => {
                if frames(&mut stream, &knows).await.is_err() {
                    return;
                }
                continue;
            }
            () => {
                if body["messages"][0]["content"] == HELD {
                    knows.holds.send_modify(|count| *count += 1);
                    if knows.end.clone().wait_for(|end| *end).await.is_err() {
                        return;
                    }
                }
                let usage = "{\"prompt_tokens\":1,\"completion_tokens\":1}";
                whole("200 OK", &format!("{{\"model\":\"{}\",\"usage\":{usage}}}", knows.model))
            }
        };
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of a request in lower case, and its body; none at the end of the connection.
async fn next(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end + 2]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let whole = end + 4 + length.map_or(0, |length| length.parse().unwrap());
            if unread.len() >= whole {
                let body = serde_json::from_slice(&unread[end + 4..whole]).unwrap_or_default();
                unread.drain(..whole);
                return Some((head, body));
            }
        }
        if stream.read_buf(unread).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn whole(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Each frame has its number, and the last one says how many there were.
async fn frames(stream: &mut TcpStream, knows: &Knows) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut end = knows.end.clone();
    for number in 0_u64.. {
        let is_last = timeout(PACE, end.wait_for(|end| *end)).await.is_ok();
        let text = if is_last { format!("all {number}") } else { format!("number {number}") };
        let frame = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        stream.write_all(format!("{:x}\r\n{frame}\r\n", frame.len()).as_bytes()).await?;
        if is_last {
            break;
        }
    }
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
}
