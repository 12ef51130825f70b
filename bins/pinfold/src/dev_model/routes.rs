//! The index of what can be asked.

use super::{
    answer::LABEL,
    anthropic,
    dialect::{Dialect, Speech},
    embeddings, ollama, openai, responses,
};
use hyper::Method;
use serde_json::{Value, json};

pub(super) enum Route {
    /// Our own numbers.
    Stats,
    Reset,
    /// The same to everybody, whatever was sent.
    Fixed(fn(Dialect) -> Value),
    /// What we know of the model with this name.
    Model(String),
    Speak(&'static dyn Speech),
    /// An answer in one piece, from the model's name and the question.
    Compute(fn(&str, &Value) -> Value),
    /// What a sandbox must never reach at a real server. It does nothing here, but it counts.
    Dangerous,
    Nothing,
}

pub(super) fn find(method: &Method, path: &str) -> Route {
    match (method.as_str(), path) {
        ("GET", "/dev/stats") => Route::Stats,
        ("POST", "/dev/reset") => Route::Reset,
        ("GET" | "HEAD", "/") => Route::Fixed(|_| json!({"status": LABEL})),

        ("POST", "/api/chat") => Route::Speak(&ollama::Chat),
        ("POST", "/api/generate") => Route::Speak(&ollama::Generate),
        ("POST", "/api/embed") => Route::Compute(embeddings::ollama),
        ("POST", "/api/embeddings") => Route::Compute(embeddings::ollama_one),
        ("POST", "/api/show") => Route::Compute(ollama::show),
        ("GET", "/api/tags") => Route::Fixed(|_| ollama::tags()),
        ("GET", "/api/ps") => Route::Fixed(|_| ollama::running()),
        ("GET", "/api/version") => Route::Fixed(|_| json!({"version": "0.0.0-dev-model"})),
        (_, path) if path.starts_with("/api/") => Route::Dangerous,

        ("POST", "/v1/chat/completions") => Route::Speak(&openai::Chat),
        ("POST", "/v1/completions") => Route::Speak(&openai::Completions),
        ("POST", "/v1/responses") => Route::Speak(&responses::Responses),
        ("POST", "/v1/embeddings") => Route::Compute(embeddings::openai),
        ("POST", "/v1/messages") => Route::Speak(&anthropic::Messages),
        ("POST", "/v1/messages/count_tokens") => Route::Compute(anthropic::count_tokens),
        ("GET", "/v1/models") => Route::Fixed(Dialect::models),
        ("GET", path) => match path.strip_prefix("/v1/models/") {
            Some(id) => Route::Model(id.to_owned()),
            None => Route::Nothing,
        },
        _ => Route::Nothing,
    }
}
