//! One pass over a checked value, whatever it holds: nothing of it is read twice or collected, so that a body costs
//! what its bytes cost.

use super::{Scan, Shape, Value, unquote};

/// Where a value begins. It is read to its end only for who asks.
#[derive(Clone, Copy)]
pub(in crate::body) struct Place<'a> {
    text: &'a str,
    start: usize,
}

pub(in crate::body) trait Visitor<'a> {
    type Fault;

    /// Of objects and arrays within each other.
    const MAX_DEPTH: usize;

    /// Told of each member of an object; whether to look into its value.
    fn member(&mut self, key: &str, value: Place<'a>) -> Result<bool, Self::Fault>;

    fn too_deep(&self) -> Self::Fault;
}

impl<'a> Place<'a> {
    pub(in crate::body) fn start(self) -> usize {
        self.start
    }

    pub(in crate::body) fn shape(self) -> Shape {
        Value { text: self.text, start: self.start, end: self.text.len() }.shape()
    }

    pub(in crate::body) fn value(self) -> Value<'a> {
        let mut scan = Scan::of_checked(self.text, self.start);
        scan.skip();
        Value { text: self.text, start: self.start, end: scan.at }
    }
}

impl<'a> Value<'a> {
    pub(in crate::body) fn visit<V: Visitor<'a>>(self, visitor: &mut V) -> Result<(), V::Fault> {
        Scan::of_checked(self.text, self.start).visit(visitor, 0)
    }
}

impl<'a> Scan<'a> {
    /// Over a value of a checked document. If it were none, all would be over.
    fn skip(&mut self) {
        if self.value(0).is_err() {
            self.at = self.text.len();
        }
    }

    fn visit<V: Visitor<'a>>(&mut self, visitor: &mut V, depth: usize) -> Result<(), V::Fault> {
        let is_object = match self.peek() {
            Some(b'{') => true,
            Some(b'[') => false,
            _ => {
                self.skip();
                return Ok(());
            }
        };
        if depth == V::MAX_DEPTH {
            return Err(visitor.too_deep());
        }
        self.at += 1;
        loop {
            self.blank();
            if matches!(self.peek(), Some(b'}' | b']') | None) {
                self.at = self.text.len().min(self.at + 1);
                return Ok(());
            }
            let mut looks_in = true;
            if is_object {
                let start = self.at;
                let key = self.string().ok().and_then(|()| unquote(&self.text[start..self.at]));
                let Some(key) = key.filter(|_| self.colon().is_ok()) else {
                    self.at = self.text.len();
                    return Ok(());
                };
                looks_in = visitor.member(&key, Place { text: self.text, start: self.at })?;
            }
            match looks_in {
                true => self.visit(visitor, depth + 1)?,
                false => self.skip(),
            }
            self.blank();
            self.take(b',');
        }
    }
}
