//! Changes to a checked JSON document that leave every byte beside them as it was.

use super::json::{Member, Value};
use bytes::Bytes;
use std::ops::Range;

/// What to change, in any order. Changes don't overlap: each is of its own member.
#[derive(Debug, Default)]
pub(super) struct Edits {
    edits: Vec<(Range<usize>, String)>,
}

impl Edits {
    pub(super) fn replace(&mut self, value: Value<'_>, by: impl Into<String>) {
        self.edits.push((value.start..value.end, by.into()));
    }

    /// Takes members out of an object, and adds others at its front, with the commas in order.
    pub(super) fn reshape(
        &mut self,
        object: Value<'_>,
        members: &[Member<'_>],
        gone: impl Fn(&Member<'_>) -> bool,
        added: &[&str],
    ) {
        // Where the last member that stays ends: a comma goes with the member after it.
        let mut kept_end = None;
        for (index, member) in members.iter().enumerate() {
            if !gone(member) {
                kept_end = Some(member.value.end);
                continue;
            }
            let span = match (kept_end, members.get(index + 1)) {
                (Some(_), _) => members[index - 1].value.end..member.value.end,
                (None, Some(next)) => member.start..next.start,
                (None, None) => member.start..member.value.end,
            };
            self.edits.push((span, String::new()));
        }
        if !added.is_empty() {
            let comma = if kept_end.is_some() { "," } else { "" };
            let front = object.start + 1;
            self.edits.push((front..front, added.join(",") + comma));
        }
    }

    pub(super) fn apply(mut self, body: Bytes) -> Bytes {
        if self.edits.is_empty() {
            return body;
        }
        self.edits.sort_by_key(|(span, _)| (span.start, span.end));
        let grown: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut edited = Vec::with_capacity(body.len() + grown);
        let mut copied = 0;
        for (span, text) in &self.edits {
            edited.extend_from_slice(&body[copied..span.start]);
            edited.extend_from_slice(text.as_bytes());
            copied = span.end;
        }
        edited.extend_from_slice(&body[copied..]);
        Bytes::from(edited)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::json::parse, *};

    fn without(body: &str, gone: &[&str], added: &[&str]) -> String {
        let root = parse(body.as_bytes()).unwrap();
        let mut edits = Edits::default();
        edits.reshape(root, &root.members(), |member| gone.contains(&&*member.key), added);
        let edited = edits.apply(Bytes::copy_from_slice(body.as_bytes()));
        String::from_utf8(edited.to_vec()).unwrap()
    }

    #[test]
    fn members_go_with_their_commas() {
        let body = r#"{ "a" : 1 , "b":[2,3],"c" : {} }"#;
        let cases = [
            (&[][..], body),
            (&["a"], r#"{ "b":[2,3],"c" : {} }"#),
            (&["b"], r#"{ "a" : 1,"c" : {} }"#),
            (&["c"], r#"{ "a" : 1 , "b":[2,3] }"#),
            (&["a", "b"], r#"{ "c" : {} }"#),
            (&["b", "c"], r#"{ "a" : 1 }"#),
            (&["a", "c"], r#"{ "b":[2,3] }"#),
            (&["a", "b", "c"], "{  }"),
        ];
        for (gone, expected) in cases {
            assert_eq!(without(body, gone, &[]), expected, "{gone:?}");
        }
    }

    #[test]
    fn members_come_with_their_commas() {
        let cases = [
            (r#"{"a":1}"#, &[][..], r#"{"x":0,"a":1}"#),
            (r#"{ "a":1,"b":2}"#, &["a"], r#"{"x":0, "b":2}"#),
            (r#"{"a":1}"#, &["a"], r#"{"x":0}"#),
            (r#"{"b":2,"a":1}"#, &["a"], r#"{"x":0,"b":2}"#),
            ("{}", &[], r#"{"x":0}"#),
        ];
        for (body, gone, expected) in cases {
            assert_eq!(without(body, gone, &[r#""x":0"#]), expected, "{body}");
        }
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        let body = r#"{"n":1.0e5,"model" : "a","m":"\u00e9"}"#;
        let root = parse(body.as_bytes()).unwrap();
        let mut edits = Edits::default();
        edits.replace(root.get("model").unwrap(), "\"longer\"");
        let edited = edits.apply(Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(&edited[..], br#"{"n":1.0e5,"model" : "longer","m":"\u00e9"}"#);
    }
}
