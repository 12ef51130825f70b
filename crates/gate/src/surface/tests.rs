//! The surface as a table: what passes, and every way around it that somebody has tried.

use super::*;
use http::HeaderValue;

fn decide(method: &str, target: &str) -> Result<Call, Refusal> {
    call(&method.parse().unwrap(), target.as_bytes(), &HeaderMap::new())
}

fn from_anthropic() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static(ANTHROPIC_VERSION),
        HeaderValue::from_static("2023-06-01"),
    )])
}

#[test]
fn inference_is_posted_to_its_exact_path() {
    for endpoint in Endpoint::ALL {
        let expected = Call::Infer { endpoint, query: None };
        assert_eq!(decide("POST", endpoint.path()), Ok(expected), "{endpoint:?}");
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post"] {
            let refusal = decide(method, endpoint.path()).unwrap_err();
            assert_eq!(refusal.kind, Kind::Method, "{method} {endpoint:?}");
        }
    }
}

#[test]
fn questions_about_models_are_answered_here() {
    let cases = [
        ("GET", "/", Answer::Running),
        ("HEAD", "/", Answer::Running),
        ("GET", "/api/version", Answer::Version),
        ("HEAD", "/api/version", Answer::Version),
        ("GET", "/api/tags", Answer::Tags),
        ("HEAD", "/api/tags", Answer::Tags),
        ("GET", "/api/ps", Answer::Ps),
        ("POST", "/api/show", Answer::Show),
        ("GET", "/v1/models", Answer::OpenAiModels),
        ("GET", "/v1/models?limit=5", Answer::OpenAiModels),
        ("GET", "/v1/models/Qwen2.5:7b", Answer::OpenAiModel("Qwen2.5:7b".into())),
        ("GET", "/v1/models/meta/llama-3", Answer::OpenAiModel("meta/llama-3".into())),
    ];
    for (method, target, answer) in cases {
        assert_eq!(decide(method, target), Ok(Call::Answer(answer)), "{method} {target}");
    }
}

#[test]
fn a_client_of_anthropic_gets_its_own_list() {
    let decide = |target: &str| call(&Method::GET, target.as_bytes(), &from_anthropic());
    let cases = [
        ("/v1/models", Answer::AnthropicModels),
        ("/v1/models/claude-x", Answer::AnthropicModel("claude-x".into())),
        ("/api/tags", Answer::Tags),
    ];
    for (target, answer) in cases {
        assert_eq!(decide(target), Ok(Call::Answer(answer)), "{target}");
    }
}

#[test]
fn what_manages_a_server_is_refused() {
    let cases = [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("HEAD", "/api/blobs/sha256:00"),
        ("POST", "/api/blobs/sha256:00"),
        ("POST", "/api/me"),
        ("POST", "/api/signout"),
        ("DELETE", "/api/user/keys/abc"),
        ("POST", "/api/experimental/web_fetch"),
        ("POST", "/api/experimental/web_search"),
        ("POST", "/v1/files"),
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/responses/compact"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/organizations/users"),
        ("POST", "/debug/pprof"),
        ("GET", "/healthz"),
        ("GET", "/api"),
        ("GET", "/v1"),
        ("GET", "/v2/models"),
    ];
    for (method, target) in cases {
        assert_eq!(decide(method, target).unwrap_err().kind, Kind::Route, "{method} {target}");
    }
}

#[test]
fn a_path_has_one_spelling() {
    let malformed = [
        "/api/../api/chat",
        "/api/./chat",
        "/api/x/..",
        "//api/chat",
        "/api//chat",
        "/api/chat/",
        "/",
        "/api%2fchat",
        "/api/chat%00",
        "/%61pi/chat",
        "/api/chat;x=1",
        "/api/chat\\",
        "/api/chat#x",
        "/api/chat\u{0}",
        "/api/chat\t",
        "/api/ chat",
        "/api/chät",
        "http://127.0.0.1/api/chat",
        "//127.0.0.1/api/chat",
        "127.0.0.1:11434",
        "*",
        "",
        "api/chat",
        "/v1/models/../files",
        "/v1/models/",
        "/v1/models//x",
        "/v1/models/a%2Fb",
    ];
    for target in malformed {
        // The root is well formed, but nothing is posted to it.
        let expected = if target == "/" { Kind::Method } else { Kind::Malformed };
        assert_eq!(decide("POST", target).unwrap_err().kind, expected, "{target:?}");
    }
    for target in
        ["/API/chat", "/api/Chat", "/V1/messages", "/api/chat.", "/api/chat:", "/api/chat@x"]
    {
        assert_eq!(decide("POST", target).unwrap_err().kind, Kind::Route, "{target:?}");
    }
}

#[test]
fn a_target_that_is_no_text_is_refused() {
    for target in [&b"/api/\xff"[..], b"/\xc0\xaf", b"\xef\xbb\xbf/api/chat"] {
        let refusal = call(&Method::POST, target, &HeaderMap::new()).unwrap_err();
        assert_eq!(refusal.kind, Kind::Malformed);
    }
    let long = format!("/v1/models/{}", "a".repeat(MAX_TARGET_BYTES));
    assert_eq!(decide("GET", &long).unwrap_err().kind, Kind::Malformed);
    let long = format!("/v1/models/{}", "a".repeat(MAX_MODEL_ID_BYTES + 1));
    assert_eq!(decide("GET", &long).unwrap_err().kind, Kind::Route);
}

#[test]
fn only_the_beta_query_goes_upstream() {
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        let passed = decide("POST", &format!("{path}?beta=true")).unwrap();
        assert!(matches!(passed, Call::Infer { query: Some("beta=true"), .. }));
        let empty = decide("POST", &format!("{path}?")).unwrap();
        assert!(matches!(empty, Call::Infer { query: None, .. }));
    }
    let refused = [
        "/v1/messages?beta=false",
        "/v1/messages?beta=true&x=1",
        "/v1/messages?beta=true?",
        "/v1/messages?Beta=true",
        "/v1/chat/completions?beta=true",
        "/v1/chat/completions?api-version=1",
        "/api/chat?stream=false",
    ];
    for target in refused {
        assert_eq!(decide("POST", target).unwrap_err().kind, Kind::Malformed, "{target}");
    }
}

#[test]
fn a_refusal_speaks_the_clients_dialect() {
    let none = HeaderMap::new();
    let cases = [
        ("/api/pull", &none, Dialect::Ollama),
        ("/", &none, Dialect::Ollama),
        ("garbage", &none, Dialect::Ollama),
        ("/v1/files", &none, Dialect::OpenAi),
        ("/v1/messages/batches", &none, Dialect::Anthropic),
        ("/v1/files", &from_anthropic(), Dialect::Anthropic),
    ];
    for (target, headers, dialect) in cases {
        assert_eq!(dialect_of(target, headers), dialect, "{target}");
    }
}
