//! What is said, before any dialect words it. The same question has the same answer, byte by byte.

use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Who speaks, wherever a dialect has a place for it.
pub(super) const LABEL: &str = "dev-model (not a language model)";
/// The same as one word.
pub(super) const LABEL_WORD: &str = "dev-model-not-a-language-model";
/// All our clocks stand still here, so that answers can be compared.
pub(super) const CREATED: u64 = 1_700_000_000;
pub(super) const CREATED_TEXT: &str = "2023-11-14T22:13:20Z";

/// Longest stretch of a tool's arguments in one frame, in characters.
const ARGUMENT_PIECE: usize = 8;
/// Deepest schema that we invent a value for.
const MAX_SCHEMA_DEPTH: usize = 8;

pub(super) type Frames = Box<dyn Iterator<Item = Bytes> + Send>;

/// What a call asks for, in whatever dialect.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) stream: bool,
    /// Text of the last thing that was said to us.
    pub(super) heard: String,
    pub(super) words_in: usize,
    /// Set when the answer must be the call of a tool.
    pub(super) tool: Option<Tool>,
    /// OpenAI's wish for counts at the end of a stream.
    pub(super) include_usage: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) arguments: Value,
}

impl Tool {
    /// A call that fits the tool's JSON schema.
    pub(super) fn new(name: &Value, schema: &Value) -> Option<Self> {
        let arguments = match example(schema, 0) {
            Value::Object(fields) => Value::Object(fields),
            _ => json!({}),
        };
        Some(Self { name: name.as_str()?.to_owned(), arguments })
    }

    /// The arguments in the pieces that a stream brings them in.
    pub(super) fn pieces(&self) -> impl Iterator<Item = String> + Send + use<> {
        let text: Vec<char> = self.arguments.to_string().chars().collect();
        let pieces: Vec<String> =
            text.chunks(ARGUMENT_PIECE).map(|piece| piece.iter().collect()).collect();
        pieces.into_iter()
    }
}

/// A whole answer with its counts.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) model: String,
    pub(super) said: Said,
    pub(super) words_in: usize,
    pub(super) words_out: usize,
    pub(super) include_usage: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Said {
    Text(Arc<str>),
    Call(Tool),
}

impl Reply {
    pub(super) fn new(model: String, asked: Asked, text: Option<String>) -> Self {
        let said = match (text, asked.tool) {
            (Some(text), _) => Said::Text(text.into()),
            (None, Some(tool)) => Said::Call(tool),
            (None, None) => Said::Text(format!("{LABEL} heard: {}", asked.heard).into()),
        };
        let words_out = match &said {
            Said::Text(text) => words(text),
            Said::Call(tool) => tool.pieces().count(),
        };
        let Asked { words_in, include_usage, .. } = asked;
        Self { model, said, words_in, words_out, include_usage }
    }

    pub(super) fn text(&self) -> &str {
        match &self.said {
            Said::Text(text) => text,
            Said::Call(_) => "",
        }
    }
}

pub(super) fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// A text cut into words, each with the space after it: joined they are the text again.
pub(super) struct Tokens {
    text: Arc<str>,
    at: usize,
}

impl Tokens {
    pub(super) fn of(text: &Arc<str>) -> Self {
        Self { text: Arc::clone(text), at: 0 }
    }
}

impl Iterator for Tokens {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        // The space before the first word has no token of its own.
        let word = rest.len() - rest.trim_start().len();
        let space = rest[word..].find(char::is_whitespace).map_or(rest.len(), |end| word + end);
        let end =
            rest[space..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |n| space + n);
        self.at += end;
        Some(rest[..end].to_owned())
    }
}

/// True when a question asks for a tool by the word.
pub(super) fn wants_tool(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("tool"))
}

/// The text of a message's content, which is a text or a list of parts of which some are text. It is
/// no deeper than the JSON parser lets it be.
pub(super) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| match part {
                Value::String(text) => Some(text.clone()),
                part if part["text"].is_string() => part["text"].as_str().map(str::to_owned),
                // What a tool gave back may itself be a list of parts.
                part => Some(text_of(&part["content"])).filter(|text| !text.is_empty()),
            });
            texts.collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// The smallest value that a schema lets through, as far as we read schemas.
fn example(schema: &Value, depth: usize) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("dev"),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") if depth < MAX_SCHEMA_DEPTH => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required
                .filter_map(Value::as_str)
                .map(|name| (name.to_owned(), example(&schema["properties"][name], depth + 1)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some("object") => json!({}),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_and_join_to_the_text() {
        for (text, count) in [("", 0), ("one", 1), ("a b", 2), ("  a \n b  ", 2), ("é ü", 2)] {
            let tokens: Vec<String> = Tokens::of(&text.into()).collect();
            assert_eq!(tokens.concat(), text);
            assert_eq!((tokens.len(), words(text)), (count, count), "{text:?}");
        }
    }

    #[test]
    fn a_tool_is_wanted_by_the_whole_word() {
        assert!(wants_tool("Use the Tool, please"));
        assert!(!wants_tool("a toolbox"));
    }

    #[test]
    fn arguments_fit_the_schema() {
        let schema = json!({"type": "object", "required": ["city", "unit", "days", "at"], "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": ["integer", "null"]},
            "at": {"type": "object", "required": ["x"], "properties": {"x": {"type": "boolean"}}},
            "free": {"type": "string"}}});
        let tool = Tool::new(&json!("weather"), &schema).unwrap();
        assert_eq!(
            tool.arguments,
            json!({"city": "dev", "unit": "c", "days": 1, "at": {"x": true}})
        );
        assert_eq!(tool.pieces().collect::<String>(), tool.arguments.to_string());
    }

    #[test]
    fn texts_are_found_in_every_shape_of_content() {
        let cases = [
            (json!("a"), "a"),
            (json!([{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]), "a b"),
            (json!([{"type": "tool_result", "content": [{"text": "c"}]}]), "c"),
            (json!(7), ""),
            (Value::Null, ""),
        ];
        for (content, text) in cases {
            assert_eq!(text_of(&content), text);
        }
    }
}
