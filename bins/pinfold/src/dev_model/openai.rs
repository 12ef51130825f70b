//! OpenAI's older endpoints: chat completions, completions, models.

use super::{
    answer::{
        Asked, CREATED, Frames, LABEL_WORD, Reply, Said, Tokens, Tool, text_of, wants_tool, words,
    },
    dialect::{Dialect, Speech, data},
};
use hyper::{StatusCode, body::Bytes};
use serde_json::{Value, json};
use std::iter;

const CALL_ID: &str = "call_dev";

pub(super) struct Chat;

impl Speech for Chat {
    fn asked(&self, body: &Value) -> Asked {
        let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last = messages.last().unwrap_or(&Value::Null);
        let heard = text_of(&last["content"]);
        // A tool's result is answered in words, or an agent would go round for ever.
        let calls = last["role"] == "user" && wants_tool(&heard);
        let function = &body["tools"][0]["function"];
        Asked {
            stream: body["stream"] == true,
            words_in: messages.iter().map(|message| words(&text_of(&message["content"]))).sum(),
            tool: calls.then(|| Tool::new(&function["name"], &function["parameters"])).flatten(),
            include_usage: body["stream_options"]["include_usage"] == true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        let (message, reason) = match &reply.said {
            Said::Text(text) => (
                json!({"role": "assistant", "content": &**text, "refusal": null, "annotations": []}),
                "stop",
            ),
            Said::Call(tool) => (
                json!({"role": "assistant", "content": null, "refusal": null, "annotations": [],
                    "tool_calls": [{"id": CALL_ID, "type": "function", "function":
                        {"name": tool.name, "arguments": tool.arguments.to_string()}}]}),
                "tool_calls",
            ),
        };
        let choice =
            json!({"index": 0, "message": message, "logprobs": null, "finish_reason": reason});
        json!({"id": "chatcmpl-dev", "object": "chat.completion", "created": CREATED,
            "model": reply.model, "choices": [choice], "usage": usage(reply),
            "service_tier": "default", "system_fingerprint": LABEL_WORD})
    }

    fn frames(&self, reply: Reply) -> Frames {
        let deltas: Box<dyn Iterator<Item = Value> + Send> = match &reply.said {
            Said::Text(text) => {
                let first = json!({"role": "assistant", "content": "", "refusal": null});
                let tokens = Tokens::of(text).map(|token| json!({"content": token}));
                Box::new(iter::once(first).chain(tokens))
            }
            Said::Call(tool) => {
                let first = json!({"role": "assistant", "content": null, "tool_calls": [{"index": 0,
                    "id": CALL_ID, "type": "function",
                    "function": {"name": tool.name, "arguments": ""}}]});
                let pieces = tool.pieces().map(
                    |piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
                );
                Box::new(iter::once(first).chain(pieces))
            }
        };
        let reason = if matches!(reply.said, Said::Call(_)) { "tool_calls" } else { "stop" };
        let choices = deltas
            .map(|delta| choice(delta, Value::Null))
            .chain(iter::once(choice(json!({}), json!(reason))))
            .map(|choice| json!([choice]));
        let usage = reply.include_usage.then(|| (json!([]), usage(&reply)));
        let chunks = choices.map(|choices| (choices, Value::Null)).chain(usage);
        let frames = chunks.map(move |(choices, usage)| {
            let mut chunk = json!({"id": "chatcmpl-dev", "object": "chat.completion.chunk",
                "created": CREATED, "model": reply.model, "choices": choices,
                "service_tier": "default", "system_fingerprint": LABEL_WORD});
            if reply.include_usage {
                chunk["usage"] = usage;
            }
            data(&chunk)
        });
        Box::new(frames.chain(iter::once(done())))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        failed(message)
    }
}

pub(super) struct Completions;

impl Speech for Completions {
    fn asked(&self, body: &Value) -> Asked {
        let heard = text_of(&body["prompt"]);
        Asked {
            stream: body["stream"] == true,
            words_in: words(&heard),
            tool: None,
            include_usage: body["stream_options"]["include_usage"] == true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        let mut whole = text_completion(&reply.model, reply.text(), json!("stop"));
        whole["usage"] = usage(reply);
        whole
    }

    fn frames(&self, reply: Reply) -> Frames {
        let Said::Text(text) = &reply.said else { return Box::new(iter::once(done())) };
        let model = reply.model.clone();
        let tokens =
            Tokens::of(text).map(move |token| text_completion(&model, &token, Value::Null));
        let last = text_completion(&reply.model, "", json!("stop"));
        let usage = reply.include_usage.then(|| {
            let mut chunk = text_completion(&reply.model, "", Value::Null);
            chunk["choices"] = json!([]);
            chunk["usage"] = usage(&reply);
            chunk
        });
        let chunks = tokens.chain(iter::once(last)).chain(usage);
        Box::new(chunks.map(|chunk| data(&chunk)).chain(iter::once(done())))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        failed(message)
    }
}

pub(super) fn models() -> Value {
    json!({"object": "list", "data": [model("dev")]})
}

pub(super) fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": LABEL_WORD})
}

fn choice(delta: Value, reason: Value) -> Value {
    json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason})
}

fn text_completion(model: &str, text: &str, reason: Value) -> Value {
    let choice = json!({"index": 0, "text": text, "logprobs": null, "finish_reason": reason});
    json!({"id": "cmpl-dev", "object": "text_completion", "created": CREATED, "model": model,
        "choices": [choice], "system_fingerprint": LABEL_WORD})
}

fn usage(reply: &Reply) -> Value {
    json!({
        "prompt_tokens": reply.words_in,
        "completion_tokens": reply.words_out,
        "total_tokens": reply.words_in + reply.words_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    })
}

fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

fn failed(message: &str) -> Bytes {
    data(&Dialect::OpenAi.error(StatusCode::INTERNAL_SERVER_ERROR, message))
}
