//! Anthropic's messages.

use super::{
    answer::{
        Asked, CREATED_TEXT, Frames, LABEL, Reply, Said, Tokens, Tool, text_of, wants_tool, words,
    },
    dialect::{Dialect, Speech, event},
};
use hyper::{StatusCode, body::Bytes};
use serde_json::{Value, json};
use std::iter;

pub(super) struct Messages;

impl Speech for Messages {
    fn asked(&self, body: &Value) -> Asked {
        let last = body["messages"].as_array().and_then(|all| all.last()).unwrap_or(&Value::Null);
        let heard = text_of(&last["content"]);
        let parts = last["content"].as_array().into_iter().flatten();
        // A tool's result comes as the user's; it is answered in words, or an agent would go round
        // for ever.
        let is_result = parts.into_iter().any(|part| part["type"] == "tool_result");
        let calls = last["role"] == "user" && !is_result && wants_tool(&heard);
        let tool = &body["tools"][0];
        Asked {
            stream: body["stream"] == true,
            words_in: words_in(body),
            tool: calls.then(|| Tool::new(&tool["name"], &tool["input_schema"])).flatten(),
            include_usage: true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        let block = match &reply.said {
            Said::Text(text) => json!({"type": "text", "text": &**text, "citations": null}),
            Said::Call(tool) => tool_use(tool, &tool.arguments),
        };
        message(reply, json!([block]), json!(stop_reason(reply)), reply.words_out)
    }

    fn frames(&self, reply: Reply) -> Frames {
        let start = json!({"type": "message_start",
            "message": message(&reply, json!([]), Value::Null, 1)});
        let block = match &reply.said {
            Said::Text(_) => json!({"type": "text", "text": ""}),
            Said::Call(tool) => tool_use(tool, &json!({})),
        };
        let deltas: Box<dyn Iterator<Item = Value> + Send> = match &reply.said {
            Said::Text(text) => {
                Box::new(Tokens::of(text).map(|token| json!({"type": "text_delta", "text": token})))
            }
            Said::Call(tool) => Box::new(
                tool.pieces()
                    .map(|piece| json!({"type": "input_json_delta", "partial_json": piece})),
            ),
        };
        let head = [
            start,
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "ping"}),
        ];
        let deltas =
            deltas.map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta}));
        let tail = [
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta",
                "delta": {"stop_reason": stop_reason(&reply), "stop_sequence": null},
                "usage": {"output_tokens": reply.words_out}}),
            json!({"type": "message_stop"}),
        ];
        Box::new(head.into_iter().chain(deltas).chain(tail).map(|value| event(&value)))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        event(&Dialect::Anthropic.error(StatusCode::INTERNAL_SERVER_ERROR, message))
    }
}

pub(super) fn count_tokens(_model: &str, question: &Value) -> Value {
    json!({"input_tokens": words_in(question)})
}

pub(super) fn models() -> Value {
    json!({"data": [model("dev")], "has_more": false, "first_id": "dev", "last_id": "dev"})
}

pub(super) fn model(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": LABEL, "created_at": CREATED_TEXT})
}

fn words_in(body: &Value) -> usize {
    let messages = body["messages"].as_array().into_iter().flatten();
    let said: usize = messages.map(|message| words(&text_of(&message["content"]))).sum();
    said + words(&text_of(&body["system"]))
}

fn stop_reason(reply: &Reply) -> &'static str {
    if matches!(reply.said, Said::Call(_)) { "tool_use" } else { "end_turn" }
}

fn tool_use(tool: &Tool, input: &Value) -> Value {
    json!({"type": "tool_use", "id": "toolu_dev", "name": tool.name, "input": input})
}

fn message(reply: &Reply, content: Value, reason: Value, words_out: usize) -> Value {
    iter::once(("model", json!(reply.model)))
        .chain([
            ("id", json!("msg_dev")),
            ("type", json!("message")),
            ("role", json!("assistant")),
            ("content", content),
            ("stop_reason", reason),
            ("stop_sequence", Value::Null),
            (
                "usage",
                json!({"input_tokens": reply.words_in, "output_tokens": words_out,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "service_tier": "standard"}),
            ),
        ])
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
