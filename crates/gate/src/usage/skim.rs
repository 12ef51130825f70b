//! The few fields of a response in one piece that tell its cost, taken from its top level as it
//! passes. The rest, however long, is not kept.

use serde_json::{Map, Value};

const WANTED: [&[u8]; 4] = [b"done", b"eval_count", b"prompt_eval_count", b"usage"];

/// A usage object is some hundred bytes.
const MAX_VALUE_BYTES: usize = 16 << 10;
const MAX_KEY_BYTES: usize = 32;

/// Follows JSON without judging it: the client gets the bytes either way.
#[derive(Debug, Default)]
pub(super) struct Skim {
    depth: usize,
    place: Place,
    in_string: bool,
    escaped: bool,
    key: Vec<u8>,
    value: Vec<u8>,
    found: Map<String, Value>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Key,
    /// In a value that is kept.
    Wanted,
    /// In a value that isn't.
    Passing,
    After,
}

impl Skim {
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            self.step(byte);
            // Pictures and long texts are strings: hop to the next byte that matters.
            if self.in_string && !self.escaped && self.place == Place::Passing {
                let next = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                bytes = &bytes[next.unwrap_or(bytes.len())..];
            }
        }
    }

    /// The fields, if the value was whole.
    pub(super) fn finish(self) -> Option<Value> {
        (self.place == Place::After).then_some(Value::Object(self.found))
    }

    fn step(&mut self, byte: u8) {
        match self.place {
            Place::Before if byte == b'{' => {
                self.depth = 1;
                self.place = Place::Key;
            }
            Place::Before | Place::After => {}
            _ if self.in_string => {
                self.keep(byte);
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            }
            _ => self.step_outside_strings(byte),
        }
    }

    fn step_outside_strings(&mut self, byte: u8) {
        match (byte, self.depth) {
            (b':', 1) => {
                let key = self.key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\""));
                let wanted = key.is_some_and(|key| WANTED.contains(&key));
                self.place = if wanted { Place::Wanted } else { Place::Passing };
            }
            (b',', 1) => {
                self.end_value();
                self.place = Place::Key;
            }
            (b'}' | b']', 1) => {
                self.end_value();
                self.place = Place::After;
            }
            _ => {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
                if !byte.is_ascii_whitespace() {
                    self.keep(byte);
                }
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        // One byte more than may be is kept, so that what was too long is known by its length.
        let (kept, max_bytes) = match self.place {
            Place::Key => (&mut self.key, MAX_KEY_BYTES),
            Place::Wanted => (&mut self.value, MAX_VALUE_BYTES),
            _ => return,
        };
        if kept.len() <= max_bytes {
            kept.push(byte);
        }
    }

    fn end_value(&mut self) {
        if self.place == Place::Wanted && self.value.len() <= MAX_VALUE_BYTES {
            let key = String::from_utf8_lossy(&self.key).trim_matches('"').to_owned();
            if let Ok(value) = serde_json::from_slice(&self.value) {
                self.found.insert(key, value);
            }
        }
        self.key.clear();
        self.value.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn skim(pieces: &[&[u8]]) -> Option<Value> {
        let mut skim = Skim::default();
        pieces.iter().for_each(|piece| skim.feed(piece));
        skim.finish()
    }

    #[test]
    fn only_the_top_level_counts_at_any_split() {
        let text = br#" {"a\"b":"usage\":{","data":[{"usage":{"x":1}},"]}\\"], "usage" : {"prompt_tokens": 3, "d":{"e":["f,}"]}},"done":true,"x":{"done":false} } "#;
        let expected = json!({ "usage": {"prompt_tokens": 3, "d": {"e": ["f,}"]}}, "done": true });
        for at in 0..=text.len() {
            assert_eq!(skim(&[&text[..at], &text[at..]]), Some(expected.clone()), "{at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(skim(&bytes), Some(expected));
    }

    #[test]
    fn what_is_cut_or_no_object_has_no_fields() {
        for text in
            [&br#"{"usage":{"a":1}"#[..], br#"{"usage":{"a":1},"#, b"", b"[1]", b"x", b"\"{\""]
        {
            let found = skim(&[text]);
            assert!(found.is_none() || found == Some(json!({})), "{found:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let long =
            format!(r#"{{"usage":"{}","{}":1,"done":true}}"#, "a".repeat(20_000), "k".repeat(99));
        let mut skim = Skim::default();
        skim.feed(long.as_bytes());
        assert!(skim.value.capacity() <= 2 * MAX_VALUE_BYTES);
        assert_eq!(skim.finish(), Some(json!({ "done": true })));
    }
}
