//! One pass over hostile JSON that says where its parts are and changes nothing: strict RFC 8259,
//! bounded in depth, and no object with the same key twice, however it is spelled.

mod visit;

pub(super) use visit::{Place, Visitor};

use std::{borrow::Cow, collections::HashSet, iter};

/// What real requests nest is under 30; a parser upstream may recurse.
const MAX_DEPTH: usize = 64;

/// Up to here, comparing every pair of keys is faster than hashing them.
const FEW_KEYS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the body is not UTF-8")]
    Utf8,
    #[error("the body is not JSON at byte {at}")]
    Syntax { at: usize },
    #[error("the body goes on after its JSON value at byte {at}")]
    Trailing { at: usize },
    #[error("the body nests deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("the body has the same key twice at byte {at}")]
    DuplicateKey { at: usize },
    #[error("the body is not a JSON object")]
    NotAnObject,
}

/// A value of a checked document, by its place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    pub(super) key: Cow<'a, str>,
    /// Where the key's quote stands.
    pub(super) start: usize,
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    String,
    Number,
    Bool(bool),
    Null,
}

/// Checks a whole body. What it returns can be walked without errors.
pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, JsonError> {
    let text = std::str::from_utf8(body).map_err(|_| JsonError::Utf8)?;
    let mut scan = Scan { text, at: 0, keys: Vec::new(), compares: true };
    scan.blank();
    let start = scan.at;
    scan.value(0)?;
    let end = scan.at;
    scan.blank();
    if scan.at < text.len() {
        return Err(JsonError::Trailing { at: scan.at });
    }
    let value = Value { text, start, end };
    if value.shape() == Shape::Object { Ok(value) } else { Err(JsonError::NotAnObject) }
}

impl<'a> Value<'a> {
    pub(super) fn raw(self) -> &'a str {
        &self.text[self.start..self.end]
    }

    pub(super) fn shape(self) -> Shape {
        match self.raw().as_bytes().first() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(b'"') => Shape::String,
            Some(b't') => Shape::Bool(true),
            Some(b'f') => Shape::Bool(false),
            Some(b'n') => Shape::Null,
            _ => Shape::Number,
        }
    }

    /// The text of a string. None for other values, and for a string with half a surrogate pair,
    /// which is no text.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        if self.shape() == Shape::String { unquote(self.raw()) } else { None }
    }

    pub(super) fn is_empty_string(self) -> bool {
        self.raw() == "\"\""
    }

    pub(super) fn members(self) -> Vec<Member<'a>> {
        let mut members = Vec::new();
        self.walk(|scan| {
            let start = scan.at;
            scan.string()?;
            let raw = &scan.text[start..scan.at];
            scan.colon()?;
            let value = scan.located()?;
            // Keys of a checked document can be read; the error is for the compiler.
            let key = unquote(raw).ok_or(JsonError::Syntax { at: start })?;
            members.push(Member { key, start, value });
            Ok(())
        });
        members
    }

    /// One after the other: a body of ten million bytes may hold five million of them.
    pub(super) fn elements(self) -> impl Iterator<Item = Value<'a>> {
        let mut scan = Scan::of_checked(self.text, self.start + 1);
        let mut goes_on = self.shape() == Shape::Array;
        iter::from_fn(move || {
            scan.blank();
            if !std::mem::take(&mut goes_on) || scan.at + 1 >= self.end {
                return None;
            }
            let element = scan.located().ok()?;
            scan.blank();
            goes_on = scan.take(b',');
            Some(element)
        })
    }

    pub(super) fn get(self, key: &str) -> Option<Value<'a>> {
        self.members().into_iter().find(|member| member.key == key).map(|member| member.value)
    }

    /// Calls `step` at each member of an object. The document is checked, so an error of the scan can only mean that
    /// this value has none.
    fn walk(self, mut step: impl FnMut(&mut Scan<'a>) -> Result<(), JsonError>) {
        if self.shape() != Shape::Object {
            return;
        }
        let mut scan = Scan::of_checked(self.text, self.start + 1);
        loop {
            scan.blank();
            if scan.at + 1 >= self.end || step(&mut scan).is_err() {
                return;
            }
            scan.blank();
            if !scan.take(b',') {
                return;
            }
        }
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// The keys of every object that is open, innermost last.
    keys: Vec<Cow<'a, str>>,
    compares: bool,
}

impl<'a> Scan<'a> {
    /// Over what was read before: nothing is compared.
    fn of_checked(text: &'a str, at: usize) -> Self {
        Self { text, at, keys: Vec::new(), compares: false }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.syntax()) }
    }

    fn syntax(&self) -> JsonError {
        JsonError::Syntax { at: self.at }
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Result<(), JsonError> {
        self.blank();
        self.expect(b':')?;
        self.blank();
        Ok(())
    }

    fn located(&mut self) -> Result<Value<'a>, JsonError> {
        let start = self.at;
        self.value(0)?;
        Ok(Value { text: self.text, start, end: self.at })
    }

    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(JsonError::Depth),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.expect(b'{')?;
        let outer = self.keys.len();
        self.blank();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.blank();
            let start = self.at;
            self.string()?;
            if self.compares {
                let key = unquote(&self.text[start..self.at]);
                self.keys.push(key.ok_or(JsonError::Syntax { at: start })?);
            }
            self.colon()?;
            self.value(depth + 1)?;
            self.blank();
            if !self.take(b',') {
                break;
            }
        }
        self.expect(b'}')?;
        if has_twins(&self.keys[outer..]) {
            return Err(JsonError::DuplicateKey { at: self.at });
        }
        self.keys.truncate(outer);
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.expect(b'[')?;
        self.blank();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.blank();
            self.value(depth + 1)?;
            self.blank();
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    fn string(&mut self) -> Result<(), JsonError> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
            self.at += plain.unwrap_or(rest.len());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(self.syntax()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        let bytes = self.text.as_bytes();
        let length = match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6);
                let hex = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
                if !hex {
                    return Err(self.syntax());
                }
                6
            }
            _ => return Err(self.syntax()),
        };
        self.at += length;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax());
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.syntax()) }
    }
}

fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    raw.get(1..raw.len() - 1).map(Cow::Borrowed)
}

fn has_twins(keys: &[Cow<'_, str>]) -> bool {
    if keys.len() <= FEW_KEYS {
        return keys.iter().enumerate().any(|(index, key)| keys[..index].contains(key));
    }
    let mut seen = HashSet::with_capacity(keys.len());
    !keys.iter().all(|key| seen.insert(key.as_ref()))
}

#[cfg(test)]
mod tests;
