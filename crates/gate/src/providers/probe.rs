//! A real call to a provider, as small as one can be, and what its answer tells an operator.

use crate::{
    Endpoint,
    routes::{Access, spoken},
};
use contracts::{
    Version,
    provider::{Dialect, ProbeFault, ProbeView},
};
use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use relay::{RelayError, RequestBody, Timeouts, Upstream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::ProviderRow;

/// An operator waits for it.
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    request_body: Duration::from_secs(10),
    first_byte: Duration::from_secs(30),
    idle: Duration::from_secs(10),
    total: None,
};
/// Some models refuse to say less.
const TOKENS: u32 = 16;
/// Of an error's text: enough for what it says of its cause.
const MAX_READ_BYTES: usize = 16 << 10;

struct Question {
    method: Method,
    path: &'static str,
    body: Option<Value>,
}

/// The status, and the begin of what was said with it if it is an error.
struct Heard {
    status: u16,
    text: String,
}

pub(super) async fn probe(
    row: &ProviderRow,
    access: &Access,
    upstream: &Upstream,
    model: Option<&str>,
) -> ProbeView {
    let began = Instant::now();
    let dialect = row.spec.dialects.first().copied().unwrap_or(Dialect::Openai);
    let questions = match model {
        Some(model) => asking(dialect, model),
        None => vec![listing(dialect)],
    };
    let (mut call, mut answer) = (String::new(), None);
    // The first that is understood tells: a model may not chat, and a newer one counts otherwise.
    for question in questions {
        call = format!("{} {}", question.method, question.path);
        let heard = ask(access, upstream, dialect, question).await;
        let understood =
            !matches!(&heard, Ok(heard) if [400, 404, 405, 422].contains(&heard.status));
        // What the first one says is what the model says of chat: kept, unless another one is better.
        if understood || answer.is_none() {
            answer = Some(heard);
        }
        if understood {
            break;
        }
    }
    let (status, fault) = match answer {
        Some(Ok(heard)) => (Some(heard.status), judge(&heard, model)),
        Some(Err(error)) => (None, Some((ProbeFault::Connection, unreached(&error)))),
        None => (None, Some((ProbeFault::Unexpected, "was asked nothing".to_owned()))),
    };
    let (fault, cause) = fault.unzip();
    ProbeView {
        version: Version,
        provider: row.name.clone(),
        ok: fault.is_none(),
        call,
        status,
        latency_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        fault,
        cause,
    }
}

/// The answer for a record that no call can be made from.
pub(super) fn unusable(row: &ProviderRow, cause: String) -> ProbeView {
    ProbeView {
        version: Version,
        provider: row.name.clone(),
        ok: false,
        call: "no call".to_owned(),
        status: None,
        latency_ms: 0,
        fault: Some(ProbeFault::Unexpected),
        cause: Some(cause),
    }
}

fn listing(dialect: Dialect) -> Question {
    let path = match dialect {
        Dialect::Ollama => "/api/tags",
        Dialect::Openai | Dialect::Anthropic => "/v1/models",
    };
    Question { method: Method::GET, path, body: None }
}

fn asking(dialect: Dialect, model: &str) -> Vec<Question> {
    let messages = json!([{"role": "user", "content": "Say ok."}]);
    let post = |endpoint: Endpoint, body: Value| Question {
        method: Method::POST,
        path: endpoint.path(),
        body: Some(body),
    };
    match dialect {
        Dialect::Ollama => vec![
            post(
                Endpoint::OllamaChat,
                json!({"model": model, "messages": messages, "stream": false,
                       "options": {"num_predict": TOKENS}}),
            ),
            post(Endpoint::OllamaEmbed, json!({"model": model, "input": "ok"})),
        ],
        Dialect::Openai => vec![
            post(
                Endpoint::ChatCompletions,
                json!({"model": model, "messages": messages, "max_tokens": TOKENS}),
            ),
            post(
                Endpoint::ChatCompletions,
                json!({"model": model, "messages": messages, "max_completion_tokens": TOKENS}),
            ),
            post(Endpoint::Embeddings, json!({"model": model, "input": "ok"})),
        ],
        Dialect::Anthropic => vec![post(
            Endpoint::Messages,
            json!({"model": model, "messages": messages, "max_tokens": TOKENS}),
        )],
    }
}

async fn ask(
    access: &Access,
    upstream: &Upstream,
    dialect: Dialect,
    question: Question,
) -> Result<Heard, RelayError> {
    let Question { method, path, body } = question;
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    let mut request = Request::new(RequestBody::whole(text));
    *request.method_mut() = method;
    let target = access.path(path).parse();
    *request.uri_mut() = target.map_err(|_| relay::request::Refusal::Target)?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    access.dress(headers);
    let (head, body) = upstream.send(request, spoken(dialect)).await?.into_parts();
    let status = head.status.as_u16();
    if head.status.is_success() {
        return Ok(Heard { status, text: String::new() });
    }
    // Whatever comes of it: the status is what counts.
    let read = Limited::new(body, MAX_READ_BYTES).collect().await;
    let text = read.map(|body| String::from_utf8_lossy(&body.to_bytes()).to_lowercase());
    Ok(Heard { status, text: text.unwrap_or_default() })
}

/// In words of our own: what a provider says of a key may hold a part of it.
fn judge(heard: &Heard, model: Option<&str>) -> Option<(ProbeFault, String)> {
    let Heard { status, text } = heard;
    let of_key = ["api key", "api_key", "apikey", "unauthorized", "authentication"]
        .iter()
        .any(|word| text.contains(word));
    let (fault, cause) = match status {
        200..300 => return None,
        // It knew the key well enough to count its calls.
        429 => return None,
        401 | 403 => (ProbeFault::Credential, "refused the key: check it, and how it is shown"),
        400 | 404 | 422 if of_key => {
            (ProbeFault::Credential, "refused the key: check it, and how it is shown")
        }
        404 if model.is_none() => {
            (ProbeFault::Unexpected, "has no list of models there: check the base URL")
        }
        400 | 404 | 422 if model.is_some() => {
            (ProbeFault::Model, "refused the model: check its name and the base URL")
        }
        500.. => (ProbeFault::Provider, "failed by itself: try again later"),
        _ => (ProbeFault::Unexpected, "did not understand the call: check the base URL"),
    };
    Some((fault, format!("answered {status}: it {cause}")))
}

/// The error and its causes: names and addresses are the operator's own.
fn unreached(error: &RelayError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!("did not answer: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_whose_fault_it_is() {
        let of = |status, text: &str, model| {
            let heard = Heard { status, text: text.to_owned() };
            judge(&heard, model).map(|(fault, _)| fault)
        };
        for (status, text, model, fault) in [
            (200, "", None, None),
            (429, "", Some("m"), None),
            (401, "", None, Some(ProbeFault::Credential)),
            (403, "", Some("m"), Some(ProbeFault::Credential)),
            (400, "invalid api key", Some("m"), Some(ProbeFault::Credential)),
            (404, "no such model", Some("m"), Some(ProbeFault::Model)),
            (400, "", Some("m"), Some(ProbeFault::Model)),
            (404, "", None, Some(ProbeFault::Unexpected)),
            (500, "", None, Some(ProbeFault::Provider)),
            (529, "", Some("m"), Some(ProbeFault::Provider)),
            (418, "", None, Some(ProbeFault::Unexpected)),
        ] {
            assert_eq!(of(status, text, model), fault, "{status} {text} {model:?}");
        }
    }

    #[test]
    fn no_word_of_the_providers_is_repeated() {
        let heard = Heard { status: 401, text: "incorrect api key: sk-planted".to_owned() };
        let (_, cause) = judge(&heard, None).unwrap();
        assert!(!cause.contains("planted"), "{cause}");
    }
}
