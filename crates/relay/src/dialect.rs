//! The three ways in which clients expect to be told of an error.

use bytes::Bytes;
use hyper::{HeaderMap, StatusCode, header::CONTENT_ENCODING, header::CONTENT_TYPE};
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    Ollama,
    OpenAi,
    Anthropic,
}

/// What a streamed answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFormat {
    /// Server-sent events: each ends with an empty line.
    Events,
    /// One JSON value per line.
    Lines,
}

impl StreamFormat {
    /// None for an answer that is not a stream, and for one that is compressed: nothing can be said
    /// in the middle of that.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(CONTENT_ENCODING) {
            return None;
        }
        Self::of_content_type(headers.get(CONTENT_TYPE)?.to_str().ok()?)
    }

    pub fn of_content_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("text/event-stream") {
            Some(Self::Events)
        } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
            Some(Self::Lines)
        } else {
            None
        }
    }
}

impl Dialect {
    pub fn of(path: &str) -> Self {
        let below = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if below("/v1/messages") {
            Self::Anthropic
        } else if below("/v1") {
            Self::OpenAi
        } else {
            Self::Ollama
        }
    }

    /// The body of an error's answer. Its content type is `application/json` in every dialect.
    pub fn error_body(self, status: StatusCode, code: &str, message: &str) -> Bytes {
        let kind = self.kind(status);
        let body = match self {
            Self::Ollama => json!({ "error": message }),
            Self::OpenAi => json!({
                "error": { "message": message, "type": kind, "param": null, "code": code }
            }),
            Self::Anthropic => json!({
                "type": "error", "error": { "type": kind, "message": message }
            }),
        };
        body.to_string().into()
    }

    /// The error as the last thing that a stream says. A terminator never follows it.
    pub fn error_frame(
        self,
        format: StreamFormat,
        status: StatusCode,
        code: &str,
        message: &str,
    ) -> Bytes {
        let body = self.error_body(status, code, message);
        let (before, after): (&[u8], &[u8]) = match (format, self) {
            (StreamFormat::Lines, _) => (b"", b"\n"),
            (StreamFormat::Events, Self::Anthropic) => (b"event: error\ndata: ", b"\n\n"),
            (StreamFormat::Events, _) => (b"data: ", b"\n\n"),
        };
        [before, &body, after].concat().into()
    }

    fn kind(self, status: StatusCode) -> &'static str {
        match (self, status.as_u16()) {
            (_, 401) => "authentication_error",
            (_, 429) => "rate_limit_error",
            (Self::Anthropic, 403) => "permission_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 504) => "timeout_error",
            (Self::Anthropic, 503 | 529) => "overloaded_error",
            (_, 400..500) => "invalid_request_error",
            (Self::Anthropic, _) => "api_error",
            (_, _) => "server_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn the_path_tells_the_dialect() {
        for (path, dialect) in [
            ("/api/chat", Dialect::Ollama),
            ("/", Dialect::Ollama),
            ("/v1", Dialect::OpenAi),
            ("/v1/chat/completions", Dialect::OpenAi),
            ("/v1/messages", Dialect::Anthropic),
            ("/v1/messages/count_tokens", Dialect::Anthropic),
            ("/v1/messagesque", Dialect::OpenAi),
            ("/v11", Dialect::Ollama),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }

    #[test]
    fn each_dialect_has_its_own_error() {
        let body = |dialect: Dialect| {
            let bytes = dialect.error_body(StatusCode::PAYLOAD_TOO_LARGE, "c", "a \"b\"");
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!(body(Dialect::Ollama), r#"{"error":"a \"b\""}"#);
        assert_eq!(
            body(Dialect::OpenAi),
            r#"{"error":{"code":"c","message":"a \"b\"","param":null,"type":"invalid_request_error"}}"#
        );
        assert_eq!(
            body(Dialect::Anthropic),
            r#"{"error":{"message":"a \"b\"","type":"request_too_large"},"type":"error"}"#
        );
    }

    #[test]
    fn an_error_is_one_frame_of_its_stream() {
        let frame = |dialect: Dialect, format| {
            let bytes = dialect.error_frame(format, StatusCode::BAD_GATEWAY, "c", "m");
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        assert_eq!(frame(Dialect::Ollama, StreamFormat::Lines), "{\"error\":\"m\"}\n");
        assert!(
            frame(Dialect::OpenAi, StreamFormat::Events).starts_with("data: {\"error\":{\"code\"")
        );
        let anthropic = frame(Dialect::Anthropic, StreamFormat::Events);
        assert!(anthropic.starts_with("event: error\ndata: {"), "{anthropic}");
        assert!(anthropic.ends_with("\"type\":\"error\"}\n\n"), "{anthropic}");
    }

    #[test]
    fn only_a_plain_stream_can_be_spoken_into() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (hyper::header::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            StreamFormat::of(&pairs.iter().map(pair).collect())
        };
        let events = ("content-type", "Text/Event-Stream; charset=utf-8");
        assert_eq!(of(&[events]), Some(StreamFormat::Events));
        assert_eq!(of(&[("content-type", "application/x-ndjson")]), Some(StreamFormat::Lines));
        assert_eq!(of(&[("content-type", "application/json")]), None);
        assert_eq!(of(&[events, ("content-encoding", "gzip")]), None);
        assert_eq!(of(&[]), None);
    }
}
