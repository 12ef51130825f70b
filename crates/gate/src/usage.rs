//! What a call has cost, read from the response's bytes as they pass, however they are split. A
//! client that hangs up before the provider's figures pays for what it was sent.

mod filter;
mod lines;
mod skim;

pub use filter::UsageFilter;

use crate::Endpoint;
use lines::{Lines, Part};
use relay::StreamFormat;
use serde::Serialize;
use serde_json::Value;
use skim::Skim;

/// A frame beyond this passes, but isn't parsed: its tokens are estimated.
const MAX_FRAME_BYTES: usize = 1 << 20;

/// What tokenizers make of ordinary text, for calls whose provider gave no figures.
const BYTES_PER_TOKEN: u64 = 4;

/// How a response is cut into frames, from its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Whole,
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
}

/// What one call has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Reading {
    /// All that the model read, cached or not.
    pub input_tokens: u64,
    /// How much of the input came from the provider's cache.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// The dialect's own end was seen. Without it the answer was cut.
    pub finished: bool,
    /// The provider gave no figures for a part of it.
    pub estimated: bool,
}

/// Reads one response. Its memory is bounded, whatever comes.
#[derive(Debug)]
pub struct Meter {
    endpoint: Endpoint,
    framing: Framing,
    lines: Lines,
    /// The data of the event that is open.
    event: Vec<u8>,
    event_is_too_long: bool,
    skim: Skim,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    input: Option<u64>,
    cache_read: u64,
    /// Cached tokens that the dialect does not count as input.
    input_beside: u64,
    output: Option<u64>,
    /// The output was counted at the end, not foretold at the start.
    output_is_final: bool,
    text_bytes: u64,
    finished: bool,
    /// A frame that is no JSON was among them.
    garbled: bool,
}

/// Roughly how many tokens so many bytes of text are.
pub fn estimate_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

impl Framing {
    pub fn of_content_type(content_type: Option<&str>) -> Self {
        match content_type.and_then(StreamFormat::of_content_type) {
            Some(StreamFormat::Events) => Self::Sse,
            Some(StreamFormat::Lines) => Self::Ndjson,
            None => Self::Whole,
        }
    }
}

impl Meter {
    pub fn new(endpoint: Endpoint, framing: Framing) -> Self {
        Self {
            endpoint,
            framing,
            lines: Lines::new(MAX_FRAME_BYTES),
            event: Vec::new(),
            event_is_too_long: false,
            skim: Skim::default(),
            counts: Counts::default(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { endpoint, lines, event, event_is_too_long, skim, counts, .. } = self;
        match self.framing {
            Framing::Whole => {
                counts.text_bytes += bytes.len() as u64;
                skim.feed(bytes);
            }
            Framing::Ndjson => lines.feed(bytes, |part| match part {
                Part::Line(line) => counts.read_bytes(*endpoint, line),
                Part::Excess(piece) => counts.text_bytes += piece.len() as u64,
                Part::End(_) => {}
            }),
            Framing::Sse => lines.feed(bytes, |part| match part {
                Part::Line(b"") => {
                    if !std::mem::take(event_is_too_long) {
                        counts.read_bytes(*endpoint, event);
                    }
                    event.clear();
                }
                Part::Line(line) => {
                    let Some(data) = sse_data(line) else { return };
                    if event.len() + data.len() > MAX_FRAME_BYTES {
                        *event_is_too_long = true;
                    }
                    if *event_is_too_long {
                        counts.text_bytes += data.len() as u64;
                        return;
                    }
                    if !event.is_empty() {
                        event.push(b'\n');
                    }
                    event.extend_from_slice(data);
                }
                Part::Excess(piece) => {
                    *event_is_too_long = true;
                    counts.text_bytes += piece.len() as u64;
                }
                Part::End(_) => {}
            }),
        }
    }

    /// A frame could not be read. Some clients pass over such a frame and call the rest a success.
    pub fn is_garbled(&self) -> bool {
        self.counts.garbled
    }

    /// The model has said something: from here on the call is not repeated.
    pub fn has_output(&self) -> bool {
        self.counts.text_bytes > 0
    }

    /// Ends the reading, where the response or the client ended it. `input_estimate` stands in for
    /// an input that was never counted.
    pub fn finish(mut self, input_estimate: u64) -> Reading {
        match self.framing {
            // Several servers leave out the last line's end.
            Framing::Ndjson => self.counts.read_bytes(self.endpoint, &self.lines.finish()),
            Framing::Sse => {
                self.feed(b"\n\n");
            }
            Framing::Whole => {
                if let Some(answer) = self.skim.finish() {
                    self.counts.read_whole(self.endpoint, &answer);
                }
            }
        }
        self.counts.reading(self.endpoint, input_estimate)
    }
}

/// The value of a `data` line. Providers write it with and without the space.
fn sse_data(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?;
    Some(data.strip_prefix(b" ").unwrap_or(data))
}

impl Counts {
    fn read_bytes(&mut self, endpoint: Endpoint, frame: &[u8]) {
        if frame.trim_ascii() == b"[DONE]" {
            let ends = [Endpoint::ChatCompletions, Endpoint::Completions].contains(&endpoint);
            self.finished |= ends;
        } else if let Ok(frame) = serde_json::from_slice(frame) {
            self.read_frame(endpoint, &frame);
        } else {
            self.garbled |= !frame.trim_ascii().is_empty();
        }
    }

    fn read_frame(&mut self, endpoint: Endpoint, frame: &Value) {
        use Endpoint::{
            ChatCompletions, Completions, CountTokens, Embeddings, Messages, OllamaChat,
            OllamaEmbed, OllamaEmbeddings, OllamaGenerate, Responses,
        };
        match endpoint {
            ChatCompletions | Completions | Embeddings => {
                self.text_bytes += text_of(&frame["choices"]);
                self.read_openai(&frame["usage"]);
            }
            Responses => self.read_response_event(frame),
            Messages | CountTokens => self.read_message_event(frame),
            OllamaChat | OllamaGenerate | OllamaEmbed | OllamaEmbeddings => {
                self.text_bytes += text_of(&frame["message"]) + text_of(&frame["response"]);
                self.text_bytes += text_of(&frame["thinking"]);
                self.read_ollama(frame);
            }
        }
    }

    /// An answer in one piece: its fields stand at the top, and its end is its own.
    fn read_whole(&mut self, endpoint: Endpoint, answer: &Value) {
        self.finished = true;
        match endpoint {
            Endpoint::Messages => self.read_anthropic(&answer["usage"], true),
            Endpoint::CountTokens => self.input = Some(0),
            Endpoint::OllamaChat | Endpoint::OllamaGenerate => {
                self.finished = answer["done"] == true;
                self.read_ollama(answer);
            }
            Endpoint::OllamaEmbed | Endpoint::OllamaEmbeddings => self.read_ollama(answer),
            _ => self.read_openai(&answer["usage"]),
        }
    }

    /// Chat calls them prompt and completion, Responses input and output.
    fn read_openai(&mut self, usage: &Value) {
        if !usage.is_object() {
            return;
        }
        let count = |names: [&str; 2]| names.into_iter().find_map(|name| usage[name].as_u64());
        let details = ["prompt_tokens_details", "input_tokens_details"];
        let cached = details.into_iter().find_map(|name| usage[name]["cached_tokens"].as_u64());
        self.input = count(["prompt_tokens", "input_tokens"]).or(self.input);
        self.cache_read = cached.unwrap_or(self.cache_read);
        if let Some(output) = count(["completion_tokens", "output_tokens"]) {
            self.output = Some(output);
            self.output_is_final = true;
        }
    }

    fn read_response_event(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                self.finished = true;
                self.read_openai(&event["response"]["usage"]);
            }
            Some(kind) if kind.ends_with(".delta") => self.text_bytes += text_of(&event["delta"]),
            _ => {}
        }
    }

    fn read_message_event(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("message_start") => self.read_anthropic(&event["message"]["usage"], false),
            Some("message_delta") => self.read_anthropic(&event["usage"], true),
            Some("content_block_start") => self.text_bytes += text_of(&event["content_block"]),
            Some("content_block_delta") => self.text_bytes += text_of(&event["delta"]),
            Some("message_stop") => self.finished = true,
            _ => {}
        }
    }

    /// Anthropic counts what came from the cache, or went there, beside the input.
    fn read_anthropic(&mut self, usage: &Value, is_final: bool) {
        let created = usage["cache_creation_input_tokens"].as_u64();
        let read = usage["cache_read_input_tokens"].as_u64();
        if created.is_some() || read.is_some() {
            self.cache_read = read.unwrap_or_default();
            self.input_beside = self.cache_read.saturating_add(created.unwrap_or_default());
        }
        self.input = usage["input_tokens"].as_u64().or(self.input);
        if let Some(output) = usage["output_tokens"].as_u64() {
            self.output = Some(output);
            self.output_is_final = is_final;
        }
    }

    fn read_ollama(&mut self, frame: &Value) {
        self.finished |= frame["done"] == true;
        self.input = frame["prompt_eval_count"].as_u64().or(self.input);
        if let Some(output) = frame["eval_count"].as_u64() {
            self.output = Some(output);
            self.output_is_final = true;
        }
    }

    fn reading(&self, endpoint: Endpoint, input_estimate: u64) -> Reading {
        let counted = self.input.map(|input| input.saturating_add(self.input_beside));
        let output_is_known = self.output_is_final || !endpoint.generates();
        let delivered = if output_is_known { 0 } else { estimate_tokens(self.text_bytes) };
        let output = if endpoint.generates() { self.output.unwrap_or_default() } else { 0 };
        Reading {
            input_tokens: counted.unwrap_or(input_estimate),
            cached_tokens: self.cache_read,
            output_tokens: output.max(delivered),
            finished: self.finished,
            estimated: counted.is_none() || !output_is_known,
        }
    }
}

/// Bytes of text that a part of a frame delivers: all its strings but those that label it.
fn text_of(value: &Value) -> u64 {
    const LABELS: [&str; 7] = ["finish_reason", "id", "index", "name", "role", "signature", "type"];
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(values) => values.iter().map(text_of).sum(),
        Value::Object(fields) => {
            let text = fields.iter().filter(|(key, _)| !LABELS.contains(&key.as_str()));
            text.map(|(_, value)| text_of(value)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
