//! OpenAI's responses: items, and a stream of typed events that are numbered.

use super::{
    answer::{Asked, CREATED, Frames, Reply, Said, Tokens, Tool, text_of, wants_tool, words},
    dialect::{Speech, event},
};
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::iter;

const RESPONSE_ID: &str = "resp_dev";
const MESSAGE_ID: &str = "msg_dev";
const CALL_ITEM_ID: &str = "fc_dev";

pub(super) struct Responses;

impl Speech for Responses {
    fn asked(&self, body: &Value) -> Asked {
        let input = &body["input"];
        let last = input.as_array().and_then(|items| items.last());
        let heard = last.map_or_else(|| text_of(input), item_text);
        // A tool's result is answered in words, or an agent would go round for ever.
        let is_users = last.is_none_or(|item| item["role"] == "user");
        let calls = is_users && wants_tool(&heard);
        let items = input.as_array().into_iter().flatten();
        let said: usize = match input {
            Value::String(text) => words(text),
            _ => items.map(|item| words(&item_text(item))).sum(),
        };
        let tool = &body["tools"][0];
        Asked {
            stream: body["stream"] == true,
            words_in: said + words(&text_of(&body["instructions"])),
            tool: calls.then(|| Tool::new(&tool["name"], &tool["parameters"])).flatten(),
            include_usage: true,
            heard,
        }
    }

    fn whole(&self, reply: &Reply) -> Value {
        completed(reply)
    }

    fn frames(&self, reply: Reply) -> Frames {
        let begun = response(&reply, "in_progress", json!([]), Value::Null);
        let head = ["response.created", "response.in_progress"]
            .map(|kind| json!({"type": kind, "response": begun}));
        let item: Box<dyn Iterator<Item = Value> + Send> = match &reply.said {
            Said::Text(text) => Box::new(
                message_begun()
                    .into_iter()
                    .chain(Tokens::of(text).map(text_delta))
                    .chain(message_ended(text)),
            ),
            Said::Call(tool) => Box::new(
                iter::once(item_event("added", call(tool, "", "in_progress")))
                    .chain(tool.pieces().map(arguments_delta))
                    .chain(call_ended(tool)),
            ),
        };
        let last = json!({"type": "response.completed", "response": completed(&reply)});
        let events = head.into_iter().chain(item).chain(iter::once(last));
        Box::new(events.enumerate().map(|(number, mut value)| {
            value["sequence_number"] = json!(number);
            event(&value)
        }))
    }

    fn error_frame(&self, message: &str) -> Bytes {
        event(&json!({"type": "error", "code": "server_error", "message": message, "param": null,
            "sequence_number": 3}))
    }
}

/// What an item says: a message's content, or the output of a tool.
fn item_text(item: &Value) -> String {
    match &item["output"] {
        Value::Null => text_of(&item["content"]),
        output => text_of(output),
    }
}

fn message_begun() -> [Value; 2] {
    [
        item_event("added", message("in_progress", json!([]))),
        json!({"type": "response.content_part.added", "item_id": MESSAGE_ID, "output_index": 0,
            "content_index": 0, "part": output_text("")}),
    ]
}

fn text_delta(token: String) -> Value {
    json!({"type": "response.output_text.delta", "item_id": MESSAGE_ID, "output_index": 0,
        "content_index": 0, "delta": token, "logprobs": []})
}

fn message_ended(text: &str) -> [Value; 3] {
    [
        json!({"type": "response.output_text.done", "item_id": MESSAGE_ID, "output_index": 0,
            "content_index": 0, "text": text, "logprobs": []}),
        json!({"type": "response.content_part.done", "item_id": MESSAGE_ID, "output_index": 0,
            "content_index": 0, "part": output_text(text)}),
        item_event("done", message("completed", json!([output_text(text)]))),
    ]
}

fn arguments_delta(piece: String) -> Value {
    json!({"type": "response.function_call_arguments.delta", "item_id": CALL_ITEM_ID,
        "output_index": 0, "delta": piece})
}

fn call_ended(tool: &Tool) -> [Value; 2] {
    let arguments = tool.arguments.to_string();
    [
        json!({"type": "response.function_call_arguments.done", "item_id": CALL_ITEM_ID,
            "output_index": 0, "name": tool.name, "arguments": arguments}),
        item_event("done", call(tool, &arguments, "completed")),
    ]
}

fn item_event(what: &str, item: Value) -> Value {
    json!({"type": format!("response.output_item.{what}"), "output_index": 0, "item": item})
}

fn output_text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn message(status: &str, content: Value) -> Value {
    json!({"id": MESSAGE_ID, "type": "message", "status": status, "role": "assistant",
        "content": content})
}

fn call(tool: &Tool, arguments: &str, status: &str) -> Value {
    json!({"id": CALL_ITEM_ID, "type": "function_call", "status": status, "call_id": "call_dev",
        "name": tool.name, "arguments": arguments})
}

fn completed(reply: &Reply) -> Value {
    let item = match &reply.said {
        Said::Text(text) => message("completed", json!([output_text(text)])),
        Said::Call(tool) => call(tool, &tool.arguments.to_string(), "completed"),
    };
    let usage = json!({"input_tokens": reply.words_in, "output_tokens": reply.words_out,
        "total_tokens": reply.words_in + reply.words_out,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0}});
    response(reply, "completed", json!([item]), usage)
}

fn response(reply: &Reply, status: &str, output: Value, usage: Value) -> Value {
    json!({"id": RESPONSE_ID, "object": "response", "created_at": CREATED, "status": status,
        "error": null, "incomplete_details": null, "instructions": null,
        "max_output_tokens": null, "model": reply.model, "output": output,
        "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": usage, "user": null,
        "metadata": {}})
}
