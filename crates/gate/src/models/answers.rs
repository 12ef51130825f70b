//! The answers that the gate gives itself, in the shapes that the SDKs parse, from nothing but the
//! job's names: no digest, size, path or template of the node is in them.

use crate::{Answer, ModelMap, Refusal, body::named_model};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Value, json};

/// The Ollama whose surface this is: clients ask for it to know what they may use.
const OLLAMA_VERSION: &str = "0.17.1";

/// Ollama's command line cuts twelve characters from a digest, so it can't be empty.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Ollama's clients print this as "never".
const NEVER: &str = "0001-01-01T00:00:00Z";
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The body and content type of an answer. `body` is the request's, which only `Show` reads.
pub fn answer(
    answer: &Answer,
    body: &[u8],
    models: &ModelMap,
) -> Result<(HeaderValue, Bytes), Refusal> {
    let names = models.names();
    let value = match answer {
        Answer::Running => {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Ok((text, Bytes::from_static(b"Ollama is running")));
        }
        Answer::Version => json!({ "version": OLLAMA_VERSION }),
        Answer::Tags => json!({ "models": each(&names, tag) }),
        // What the node has in its memory is no job's business.
        Answer::Ps => json!({ "models": [] }),
        Answer::Show => {
            models.resolve(&named_model(body)?)?;
            show()
        }
        Answer::OpenAiModels => json!({ "object": "list", "data": each(&names, openai_model) }),
        Answer::OpenAiModel(name) => openai_model(known(models, name)?),
        Answer::AnthropicModels => json!({
            "data": each(&names, anthropic_model),
            "has_more": false,
            "first_id": names.first(),
            "last_id": names.last(),
        }),
        Answer::AnthropicModel(name) => anthropic_model(known(models, name)?),
    };
    Ok((header_of_json(), Bytes::from(value.to_string())))
}

/// What Ollama says of a model that it has loaded and asked nothing.
pub fn loaded(alias: &str, chat: bool) -> (HeaderValue, Bytes) {
    let mut value = json!({
        "model": alias,
        "created_at": EPOCH,
        "done": true,
        "done_reason": "load",
    });
    if chat {
        value["message"] = json!({ "role": "assistant", "content": "" });
    } else {
        value["response"] = json!("");
    }
    (header_of_json(), Bytes::from(value.to_string()))
}

fn header_of_json() -> HeaderValue {
    HeaderValue::from_static("application/json")
}

fn each(names: &[&str], shape: fn(&str) -> Value) -> Vec<Value> {
    names.iter().map(|name| shape(name)).collect()
}

fn known<'a>(models: &ModelMap, name: &'a str) -> Result<&'a str, Refusal> {
    models.resolve(name)?;
    Ok(name)
}

fn tag(name: &str) -> Value {
    json!({
        "name": name,
        "model": name,
        "modified_at": NEVER,
        "size": 0,
        "digest": NO_DIGEST,
        "details": details(),
    })
}

fn details() -> Value {
    json!({
        "parent_model": "",
        "format": "",
        "family": "",
        "families": [],
        "parameter_size": "",
        "quantization_level": "",
    })
}

fn show() -> Value {
    json!({
        "license": "",
        "modelfile": "",
        "parameters": "",
        "template": "",
        "details": details(),
        // Ollama's command line reads this key without looking whether it is there.
        "model_info": { "general.architecture": "unknown" },
        "capabilities": ["completion", "tools"],
        "modified_at": NEVER,
    })
}

fn openai_model(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "node" })
}

fn anthropic_model(name: &str) -> Value {
    json!({ "type": "model", "id": name, "display_name": name, "created_at": EPOCH })
}
