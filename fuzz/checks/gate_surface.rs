//! Which calls the gate knows: a byte of flags, then a request's method and target as `METHOD target`.
//!
//! What passes is a call of the list, and its path goes on as it came.

use gate::{Answer, Call, call};
use http::{HeaderMap, HeaderValue, Method};

pub(crate) fn check(data: &[u8]) {
    let Some((flags, line)) = data.split_first() else { return };
    let Some(space) = line.iter().position(|byte| *byte == b' ') else { return };
    let Ok(method) = Method::from_bytes(&line[..space]) else { return };
    let target = &line[space + 1..];
    let mut headers = HeaderMap::new();
    if flags & 1 == 1 {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    let passed = match call(&method, target, &headers) {
        Ok(passed) => passed,
        Err(refusal) => {
            let dialect = gate::Dialect::of(&String::from_utf8_lossy(target));
            assert!(refusal.body(dialect).len() < 8 << 10);
            return;
        }
    };
    let target = std::str::from_utf8(target).expect("only text passes");
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    assert!(!path.contains("..") || path.contains("models/"), "{path}");
    assert!(!path.contains(['%', '\\', '#', ' ']) && !path.contains("//"), "{path}");
    match passed {
        Call::Infer { endpoint, query } => {
            assert_eq!((endpoint.path(), &method), (path, &Method::POST));
            assert!(query.is_none_or(|query| target.ends_with(query)));
        }
        Call::Answer(Answer::OpenAiModel(id) | Answer::AnthropicModel(id)) => {
            assert_eq!(path, format!("/v1/models/{id}"));
        }
        Call::Answer(_) => assert!(!path.contains("..")),
    }
}
