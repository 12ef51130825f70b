//! A provider that is strict: each of its models is served for one key in one header, and every call
//! is written down. It speaks as OpenAI's and as Anthropic's servers do.

use crate::operator::KEY;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What its models say, piece by piece, before they say who they are.
const PIECES: [&str; 3] = ["this ", "is ", "from "];

#[derive(Debug)]
pub(crate) struct StrictProvider {
    pub(crate) origin: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

/// One call that asked a model.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) model: String,
    /// The names of the headers that had the key in them.
    pub(crate) key_in: Vec<String>,
    pub(crate) head: String,
    pub(crate) stream: bool,
}

struct Call {
    head: String,
    path: String,
    body: Value,
}

impl StrictProvider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let origin = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, Arc::clone(&shared)));
            }
        });
        Self { origin, seen, _serving: serving }
    }

    /// The calls since it was asked before.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().expect("not poisoned"))
    }
}

async fn connection(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut unread = Vec::new();
    while let Some(call) = next(&mut stream, &mut unread).await {
        if stream.write_all(answer(&call, &seen).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// None at the end of the connection.
async fn next(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Call> {
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end + 2]).into_owned();
            let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
            if unread.len() >= end + 4 + length {
                let body = serde_json::from_slice(&unread[end + 4..end + 4 + length]);
                unread.drain(..end + 4 + length);
                let path = head.split(' ').nth(1)?.to_owned();
                return Some(Call { head, path, body: body.unwrap_or_default() });
            }
        }
        if stream.read_buf(unread).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn answer(call: &Call, seen: &Mutex<Vec<Seen>>) -> String {
    let is_anthropic = header(&call.head, "anthropic-version").is_some();
    let shown = match is_anthropic {
        true => header(&call.head, "x-api-key") == Some(KEY),
        false => header(&call.head, "authorization") == Some(&format!("Bearer {KEY}")),
    };
    if !shown {
        return whole("401 Unauthorized", &json!({"error": {"message": "not this key"}}));
    }
    let model = call.body["model"].as_str().unwrap_or_default();
    let is_stream = call.body["stream"] == true;
    let known = match is_anthropic {
        true => model.starts_with("claude-"),
        false => model.starts_with("meta/"),
    };
    match call.path.as_str() {
        "/v1/models" => return whole("200 OK", &json!({"object": "list", "data": []})),
        "/v1/chat/completions" | "/v1/messages" if known => {}
        _ => return whole("404 Not Found", &json!({"error": {"message": "not this model"}})),
    }
    let fields = call.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let keyed = fields.filter(|(_, value)| value.contains(KEY));
    seen.lock().expect("not poisoned").push(Seen {
        model: model.to_owned(),
        key_in: keyed.map(|(name, _)| name.to_lowercase()).collect(),
        head: call.head.clone(),
        stream: is_stream,
    });
    match (is_anthropic, is_stream) {
        (true, true) => events(&messages(model)),
        (true, false) => {
            whole("200 OK", &message(model, json!([{"type": "text", "text": said(model)}])))
        }
        (false, true) => events(&chunks(model)),
        (false, false) => whole("200 OK", &completion(model)),
    }
}

fn said(model: &str) -> String {
    PIECES.concat() + model
}

fn pieces(model: &str) -> impl Iterator<Item = &str> {
    PIECES.into_iter().chain([model])
}

fn completion(model: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": model,
           "choices": [{"index": 0, "finish_reason": "stop",
                        "message": {"role": "assistant", "content": said(model)}}],
           "usage": {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}})
}

fn chunks(model: &str) -> Vec<(&'static str, Value)> {
    let chunk = |choices: Value| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model,
               "choices": choices})
    };
    let delta = |text| chunk(json!([{"index": 0, "delta": {"content": text}}]));
    let mut all: Vec<_> = pieces(model).map(|text| ("", delta(text))).collect();
    all.push(("", chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]))));
    let mut usage = chunk(json!([]));
    usage["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5});
    all.push(("", usage));
    all
}

fn message(model: &str, content: Value) -> Value {
    json!({"id": "m", "type": "message", "role": "assistant", "model": model, "content": content,
           "stop_reason": "end_turn", "stop_sequence": null,
           "usage": {"input_tokens": 1, "output_tokens": 4}})
}

fn messages(model: &str) -> Vec<(&'static str, Value)> {
    let mut first = message(model, json!([]));
    first["stop_reason"] = Value::Null;
    let block = json!({"type": "text", "text": ""});
    let mut all = vec![
        ("message_start", json!({"type": "message_start", "message": first})),
        (
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
        ),
    ];
    all.extend(pieces(model).map(|text| {
        let delta = json!({"type": "text_delta", "text": text});
        ("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    }));
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    all.extend([
        ("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        (
            "message_delta",
            json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 4}}),
        ),
        ("message_stop", json!({"type": "message_stop"})),
    ]);
    all
}

fn whole(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn events(all: &[(&str, Value)]) -> String {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    let mut push = |frame: &str| text += &format!("{:x}\r\n{frame}\r\n", frame.len());
    for (name, data) in all {
        match *name {
            "" => push(&format!("data: {data}\n\n")),
            name => push(&format!("event: {name}\ndata: {data}\n\n")),
        }
    }
    if all.iter().all(|(name, _)| name.is_empty()) {
        push("data: [DONE]\n\n");
    }
    text + "0\r\n\r\n"
}
