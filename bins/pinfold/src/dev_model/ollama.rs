//! Ollama's own endpoints: lines of JSON, and a stream unless it is declined.

use super::{
    answer::{
        Asked, CREATED_TEXT, Frames, LABEL, LABEL_WORD, Reply, Said, Tokens, Tool, text_of,
        wants_tool, words,
    },
    dialect::{Dialect, Speech, line},
};
use hyper::{StatusCode, body::Bytes};
use serde_json::{Map, Value, json};
use std::iter;

/// Told for each word, in nanoseconds: a round figure that can't be taken for a measurement.
const WORD_NANOS: usize = 1_000_000;
const DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) struct Chat;

impl Speech for Chat {
    fn asked(&self, body: &Value) -> Asked {
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = messages.last().unwrap_or(&Value::Null);
        let heard = text_of(&last["content"]);
        let function = &body["tools"][0]["function"];
        let calls = last["role"] == "user" && wants_tool(&heard);
        Asked {
            stream: body["stream"] != false,
            words_in: messages.iter().map(|message| words(&text_of(&message["content"]))).sum(),
            tool: calls.then(|| Tool::new(&function["name"], &function["parameters"])).flatten(),
            include_usage: true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        ended(reply, json!({"message": message(&reply.said)}))
    }

    fn frames(&self, reply: Reply) -> Frames {
        let model = reply.model.clone();
        let messages: Box<dyn Iterator<Item = Value> + Send> = match &reply.said {
            Said::Text(text) => Box::new(
                Tokens::of(text).map(|token| json!({"role": "assistant", "content": token})),
            ),
            Said::Call(_) => Box::new(iter::once(message(&reply.said))),
        };
        let frames = messages.map(move |message| going_on(&model, json!({"message": message})));
        let nothing = json!({"message": {"role": "assistant", "content": ""}});
        Box::new(frames.chain(iter::once(ended(&reply, nothing))).map(|frame| line(&frame)))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        failed(message)
    }

    fn stream_type(&self) -> &'static str {
        STREAM_TYPE
    }
}

pub(super) struct Generate;

impl Speech for Generate {
    fn asked(&self, body: &Value) -> Asked {
        let heard = text_of(&body["prompt"]);
        Asked {
            stream: body["stream"] != false,
            words_in: words(&heard) + words(&text_of(&body["system"])),
            tool: None,
            include_usage: true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        ended(reply, json!({"response": reply.text(), "context": [1, 2, 3]}))
    }

    fn frames(&self, reply: Reply) -> Frames {
        let model = reply.model.clone();
        let Said::Text(text) = &reply.said else { return Box::new(iter::empty()) };
        let frames =
            Tokens::of(text).map(move |token| going_on(&model, json!({"response": token})));
        let last = ended(&reply, json!({"response": "", "context": [1, 2, 3]}));
        Box::new(frames.chain(iter::once(last)).map(|frame| line(&frame)))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        failed(message)
    }

    fn stream_type(&self) -> &'static str {
        STREAM_TYPE
    }
}

const STREAM_TYPE: &str = "application/x-ndjson";

pub(super) fn tags() -> Value {
    json!({"models": [listed()]})
}

pub(super) fn running() -> Value {
    let mut model = listed();
    model["expires_at"] = json!(CREATED_TEXT);
    model["size_vram"] = json!(0);
    model["context_length"] = json!(4096);
    json!({"models": [model]})
}

pub(super) fn show(_model: &str, _question: &Value) -> Value {
    json!({
        "license": "", "modelfile": format!("# {LABEL}"), "parameters": "", "template": "{{ .Prompt }}",
        "details": details(),
        "model_info": {"general.architecture": LABEL_WORD, "general.parameter_count": 0},
        "capabilities": ["completion", "tools"], "modified_at": CREATED_TEXT,
    })
}

/// The counts at the end of an answer.
pub(super) fn durations(words_in: usize, words_out: usize) -> Map<String, Value> {
    let counts = [
        ("total_duration", (words_in + words_out) * WORD_NANOS),
        ("load_duration", 0),
        ("prompt_eval_count", words_in),
        ("prompt_eval_duration", words_in * WORD_NANOS),
        ("eval_count", words_out),
        ("eval_duration", words_out * WORD_NANOS),
    ];
    counts.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect()
}

fn listed() -> Value {
    json!({"name": "dev", "model": "dev", "modified_at": CREATED_TEXT, "size": 0,
        "digest": DIGEST, "details": details()})
}

fn details() -> Value {
    json!({"parent_model": "", "format": "none", "family": LABEL_WORD, "families": [LABEL_WORD],
        "parameter_size": "0", "quantization_level": "none"})
}

fn message(said: &Said) -> Value {
    match said {
        Said::Text(text) => json!({"role": "assistant", "content": &**text}),
        Said::Call(tool) => json!({"role": "assistant", "content": "", "tool_calls":
            [{"function": {"name": tool.name, "arguments": tool.arguments}}]}),
    }
}

fn going_on(model: &str, mut frame: Value) -> Value {
    frame["model"] = json!(model);
    frame["created_at"] = json!(CREATED_TEXT);
    frame["done"] = json!(false);
    frame
}

fn ended(reply: &Reply, mut frame: Value) -> Value {
    frame["model"] = json!(reply.model);
    frame["created_at"] = json!(CREATED_TEXT);
    frame["done"] = json!(true);
    frame["done_reason"] = json!("stop");
    for (name, count) in durations(reply.words_in, reply.words_out) {
        frame[name] = count;
    }
    frame
}

fn failed(message: &str) -> Bytes {
    line(&Dialect::Ollama.error(StatusCode::INTERNAL_SERVER_ERROR, message))
}
