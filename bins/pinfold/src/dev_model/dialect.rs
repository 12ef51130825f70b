//! The three families of APIs, and what an endpoint of them must be able to word.

use super::{
    answer::{Asked, Frames, Reply},
    anthropic, openai,
};
use hyper::{HeaderMap, StatusCode, body::Bytes};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Dialect {
    Ollama,
    OpenAi,
    Anthropic,
}

/// The header that tells Anthropic's clients from OpenAI's, where they share a path.
const ANTHROPIC_VERSION: &str = "anthropic-version";

impl Dialect {
    pub(super) fn of(path: &str, headers: &HeaderMap) -> Self {
        if path.starts_with("/v1/messages") || headers.contains_key(ANTHROPIC_VERSION) {
            Self::Anthropic
        } else if path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Ollama
        }
    }

    pub(super) fn error(self, status: StatusCode, message: &str) -> Value {
        match self {
            Self::Ollama => json!({"error": message}),
            Self::OpenAi => {
                let (kind, code) = match status.as_u16() {
                    401 => ("invalid_request_error", json!("invalid_api_key")),
                    404 => ("invalid_request_error", json!("model_not_found")),
                    429 => ("rate_limit_error", json!("rate_limit_exceeded")),
                    400..500 => ("invalid_request_error", Value::Null),
                    _ => ("server_error", Value::Null),
                };
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Self::Anthropic => {
                let kind = match status.as_u16() {
                    401 => "authentication_error",
                    404 => "not_found_error",
                    413 => "request_too_large",
                    429 => "rate_limit_error",
                    400..500 => "invalid_request_error",
                    529 => "overloaded_error",
                    _ => "api_error",
                };
                let error = json!({"type": kind, "message": message});
                json!({"type": "error", "error": error, "request_id": REQUEST_ID})
            }
        }
    }

    pub(super) fn models(self) -> Value {
        match self {
            Self::Anthropic => anthropic::models(),
            Self::OpenAi | Self::Ollama => openai::models(),
        }
    }

    pub(super) fn model(self, id: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::model(id),
            Self::OpenAi | Self::Ollama => openai::model(id),
        }
    }
}

/// Every request has this id: ids are for telling apart, and ours need not be.
pub(super) const REQUEST_ID: &str = "req_dev";

/// One endpoint that generates. The route picks it, the rest asks it for words.
pub(super) trait Speech: Sync {
    fn asked(&self, body: &Value) -> Asked;
    fn whole(&self, reply: &Reply) -> Value;
    fn frames(&self, reply: Reply) -> Frames;
    /// How a stream tells that it failed after its head said 200.
    fn error_frame(&self, message: &str) -> Bytes;
    fn stream_type(&self) -> &'static str {
        "text/event-stream; charset=utf-8"
    }
}

/// A frame of server-sent events without a name, as OpenAI's.
pub(super) fn data(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

/// A frame that says its type twice, as Anthropic's and those of Responses.
pub(super) fn event(value: &Value) -> Bytes {
    let name = value["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {value}\n\n"))
}

/// A line of Ollama's streams.
pub(super) fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
