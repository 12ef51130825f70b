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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Unlisted};

    fn models() -> ModelMap {
        let aliases = [("b", "secret-b"), ("a", "secret-a")];
        let aliases = aliases.map(|(alias, model)| (alias.to_owned(), model.to_owned()));
        ModelMap::new(aliases, Unlisted::Refused)
    }

    fn said(asked: &Answer, body: &str) -> Result<Value, Refusal> {
        let (content_type, body) = answer(asked, body.as_bytes(), &models())?;
        assert_eq!(content_type, "application/json");
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(!text.contains("secret"), "{text}");
        Ok(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_knock_is_answered_as_ollama_does() {
        let (content_type, body) = answer(&Answer::Running, b"", &models()).unwrap();
        assert_eq!(&body[..], b"Ollama is running");
        assert_eq!(content_type, "text/plain; charset=utf-8");
    }

    #[test]
    fn lists_hold_the_jobs_names_only() {
        let tags = said(&Answer::Tags, "").unwrap();
        let names: Vec<_> =
            tags["models"].as_array().unwrap().iter().map(|tag| &tag["model"]).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(tags["models"][0]["digest"].as_str().map(str::len), Some(64));
        assert_eq!(tags["models"][0]["size"], 0);
        let list = said(&Answer::OpenAiModels, "").unwrap();
        assert_eq!(list["object"], "list");
        assert_eq!(list["data"][1]["id"], "b");
        let list = said(&Answer::AnthropicModels, "").unwrap();
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!("a"), &json!("b")));
        assert_eq!(list["data"][0]["type"], "model");
        assert_eq!(said(&Answer::Ps, ""), Ok(json!({ "models": [] })));
    }

    #[test]
    fn an_empty_map_has_empty_lists() {
        let (_, body) = answer(&Answer::AnthropicModels, b"", &ModelMap::default()).unwrap();
        let list: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            list,
            json!({ "data": [], "has_more": false, "first_id": null, "last_id": null })
        );
    }

    #[test]
    fn one_model_is_described_if_the_job_has_it() {
        assert_eq!(said(&Answer::OpenAiModel("a".into()), "").unwrap()["id"], "a");
        assert_eq!(said(&Answer::AnthropicModel("a".into()), "").unwrap()["id"], "a");
        assert!(said(&Answer::Show, r#"{"model":"a","verbose":true}"#).is_ok());
        assert!(said(&Answer::Show, r#"{"name":"a:latest"}"#).is_ok());
        let unknown = [
            (Answer::OpenAiModel("secret-a".into()), ""),
            (Answer::AnthropicModel("x:cloud".into()), ""),
            (Answer::Show, r#"{"model":"secret-a"}"#),
        ];
        for (asked, body) in unknown {
            assert_eq!(said(&asked, body).unwrap_err().kind, Kind::Model, "{asked:?}");
        }
        assert_eq!(said(&Answer::Show, "").unwrap_err().kind, Kind::Malformed);
    }

    #[test]
    fn loading_is_done_at_once() {
        for (chat, field) in [(true, "message"), (false, "response")] {
            let value: Value = serde_json::from_slice(&loaded("a", chat).1).unwrap();
            assert_eq!((&value["done"], &value["done_reason"]), (&json!(true), &json!("load")));
            assert!(!value[field].is_null());
        }
    }
}
