//! Why the gate says no: one kind per reason that a client can act on, and how each dialect says it.

use crate::Dialect;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;

/// A refusal repeats what the client sent; this bounds how much of it.
const MAX_QUOTED_CHARS: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No dialect defines such a request: the bytes are wrong.
    Malformed,
    /// The target is no path of the surface.
    Route,
    /// The path is of the surface, the method isn't.
    Method,
    /// The job has no such model.
    Model,
    /// The body asks for more than inference.
    Feature,
    TooLarge,
    /// The body is compressed, so policy can't read it.
    Encoding,
    /// The job's number of calls is spent.
    Requests,
    InputTokens,
    OutputTokens,
    /// As many calls are open as the job may have at once. The only one that waiting cures.
    Concurrency,
}

impl Kind {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Route | Self::Feature => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Model => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Requests | Self::InputTokens | Self::OutputTokens | Self::Concurrency => {
                StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// Stable, for the audit line and for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_request",
            Self::Route => "route_not_allowed",
            Self::Method => "method_not_allowed",
            Self::Model => "model_not_found",
            Self::Feature => "feature_not_allowed",
            Self::TooLarge => "request_too_large",
            Self::Encoding => "encoding_not_supported",
            Self::Requests => "request_budget_spent",
            Self::InputTokens => "input_token_budget_spent",
            Self::OutputTokens => "output_token_budget_spent",
            Self::Concurrency => "too_many_streams",
        }
    }

    /// What the official SDKs read from `x-should-retry`: they repeat any 429 unless told not to,
    /// and a spent budget stays spent.
    pub fn should_retry(self) -> bool {
        self == Self::Concurrency
    }

    fn openai_type(self) -> &'static str {
        match self {
            Self::Route | Self::Feature => "permission_error",
            Self::Requests | Self::InputTokens | Self::OutputTokens => "insufficient_quota",
            Self::Concurrency => "rate_limit_exceeded",
            _ => "invalid_request_error",
        }
    }

    fn anthropic_type(self) -> &'static str {
        match self {
            Self::Route | Self::Feature => "permission_error",
            Self::Model => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::Malformed | Self::Method | Self::Encoding => "invalid_request_error",
            Self::Requests | Self::InputTokens | Self::OutputTokens | Self::Concurrency => {
                "rate_limit_error"
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: Kind,
    pub message: Cow<'static, str>,
    /// The field at fault, where there is one.
    pub param: Option<Cow<'static, str>>,
}

impl Refusal {
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), param: None }
    }

    pub fn of_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(field.into());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// The JSON that an SDK of this dialect turns into its own error.
    pub fn body(&self, dialect: Dialect) -> Bytes {
        let Self { kind, message, param } = self;
        let value = match dialect {
            Dialect::Ollama => json!({ "error": message }),
            Dialect::OpenAi => json!({
                "error": {
                    "message": message,
                    "type": kind.openai_type(),
                    "param": param,
                    "code": kind.code(),
                }
            }),
            Dialect::Anthropic => json!({
                "type": "error",
                "error": { "type": kind.anthropic_type(), "message": message },
            }),
        };
        Bytes::from(value.to_string())
    }
}

/// What a client sent, fit to stand in a message: short, and without bytes that a terminal obeys.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted: String =
        text.chars().take(MAX_QUOTED_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const KINDS: [(Kind, u16, &str, &str); 11] = [
        (Kind::Malformed, 400, "invalid_request_error", "invalid_request_error"),
        (Kind::Route, 403, "permission_error", "permission_error"),
        (Kind::Method, 405, "invalid_request_error", "invalid_request_error"),
        (Kind::Model, 404, "invalid_request_error", "not_found_error"),
        (Kind::Feature, 403, "permission_error", "permission_error"),
        (Kind::TooLarge, 413, "invalid_request_error", "request_too_large"),
        (Kind::Encoding, 415, "invalid_request_error", "invalid_request_error"),
        (Kind::Requests, 429, "insufficient_quota", "rate_limit_error"),
        (Kind::InputTokens, 429, "insufficient_quota", "rate_limit_error"),
        (Kind::OutputTokens, 429, "insufficient_quota", "rate_limit_error"),
        (Kind::Concurrency, 429, "rate_limit_exceeded", "rate_limit_error"),
    ];

    #[test]
    fn every_kind_is_said_in_every_dialect() {
        for (kind, status, openai, anthropic) in KINDS {
            let refusal = Refusal::new(kind, "no \"such\" thing").of_field("model");
            let body =
                |dialect| -> Value { serde_json::from_slice(&refusal.body(dialect)).unwrap() };
            assert_eq!(refusal.status().as_u16(), status, "{kind:?}");
            assert_eq!(body(Dialect::Ollama), json!({ "error": "no \"such\" thing" }));
            let said = body(Dialect::OpenAi);
            assert_eq!(said["error"]["type"], openai, "{kind:?}");
            assert_eq!(said["error"]["code"], kind.code());
            assert_eq!(said["error"]["param"], "model");
            let said = body(Dialect::Anthropic);
            assert_eq!(
                (&said["type"], &said["error"]["type"]),
                (&json!("error"), &json!(anthropic))
            );
        }
    }

    #[test]
    fn a_field_that_is_not_known_is_null() {
        let body = Refusal::new(Kind::Route, "no").body(Dialect::OpenAi);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["error"]["param"].is_null());
    }

    #[test]
    fn what_is_quoted_is_short_and_tame() {
        assert_eq!(quoted("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(quoted(&"é".repeat(90)), format!("{}…", "é".repeat(80)));
    }
}
