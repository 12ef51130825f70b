//! Takes the node's key out of what a provider says: some repeat it, or a part of it, when they refuse it, and what
//! stands behind a base URL may give back all that it was sent.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use memchr::{memchr_iter, memmem};

/// A shorter one is no provider's, and may be a word that answers have: `ollama`, `none-needed`.
const MIN_KEY_BYTES: usize = 16;
/// Of a refusal: so much of it is looked at as a whole.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

/// Of one answer. As many bytes come out as went in, so its length stays.
pub(crate) struct Veil {
    /// What the provider was shown, and where in it the key begins.
    shown: HeaderValue,
    from: usize,
    is_refusal: bool,
    /// The end of what came: it may be the begin of the key, or it is a refusal that is not whole.
    held: BytesMut,
}

impl Veil {
    pub(crate) fn new(shown: &HeaderValue) -> Option<Self> {
        let from = if shown.as_bytes().starts_with(b"Bearer ") { b"Bearer ".len() } else { 0 };
        let is_key = shown.len() - from >= MIN_KEY_BYTES;
        let shown = shown.clone();
        is_key.then(|| Self { shown, from, is_refusal: false, held: BytesMut::new() })
    }

    /// For an answer that says what is wrong.
    pub(crate) fn over_refusal(self) -> Self {
        Self { is_refusal: true, ..self }
    }

    /// A header with the key in it goes.
    pub(crate) fn cover_headers(&self, headers: &mut HeaderMap) {
        let key = &self.shown.as_bytes()[self.from..];
        let telling = headers.iter().filter(|(_, value)| has(value.as_bytes(), key));
        let telling: Vec<_> = telling.map(|(name, _)| name.clone()).collect();
        for name in telling {
            headers.remove(name);
        }
    }

    /// What of these bytes, and of those held before, may go on now.
    pub(crate) fn feed(&mut self, data: Bytes) -> Bytes {
        let key = &self.shown.as_bytes()[self.from..];
        let waits = self.is_refusal && self.held.len() + data.len() <= MAX_REFUSAL_BYTES;
        // Nearly always: nothing is copied.
        if !waits && self.held.is_empty() && begun(&data, key) == 0 && !has(&data, key) {
            return data;
        }
        self.held.extend_from_slice(&data);
        if waits {
            return Bytes::new();
        }
        self.is_refusal = false;
        cover(&mut self.held, key);
        let passes = self.held.len() - begun(&self.held, key);
        self.held.split_to(passes).freeze()
    }

    /// What was held when the answer ended.
    pub(crate) fn finish(&mut self) -> Bytes {
        let key = &self.shown.as_bytes()[self.from..];
        let mut rest = self.held.split();
        cover(&mut rest, key);
        if self.is_refusal {
            rest.split_mut(|byte| !is_of_word(*byte)).for_each(|word| cover_parts(word, key));
        }
        rest.freeze()
    }
}

fn has(text: &[u8], key: &[u8]) -> bool {
    memmem::find(text, key).is_some()
}

/// How many bytes at the end of a text are the begin of the key.
fn begun(text: &[u8], key: &[u8]) -> usize {
    let end = &text[text.len().saturating_sub(key.len() - 1)..];
    let found = memchr_iter(key[0], end).find(|at| key.starts_with(&end[*at..]));
    found.map_or(0, |at| end.len() - at)
}

fn cover(text: &mut [u8], key: &[u8]) {
    let mut from = 0;
    while let Some(at) = memmem::find(&text[from..], key) {
        text[from + at..from + at + key.len()].fill(b'*');
        from += at + key.len();
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-*.".contains(&byte)
}

/// `sk-pr***wxyz`, `****wxyz`, `sk-pr...wxyz`: what is shown of a key that is hidden.
fn cover_parts(word: &mut [u8], key: &[u8]) {
    let end = word.iter().rposition(|byte| *byte != b'.').map_or(0, |at| at + 1);
    let word = &mut word[..end];
    let hides = |two: &[u8]| matches!(two, b"**" | b"..");
    let Some(first) = word.windows(2).position(hides) else { return };
    let last = first + word[first..].windows(2).rposition(hides).unwrap_or_default() + 2;
    let (before, after) = (&word[..first], &word[last..]);
    let is_begin = !before.is_empty() && key.starts_with(before);
    let is_end = !after.is_empty() && key.ends_with(after);
    if is_begin || is_end {
        word.fill(b'*');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-Planted/0123456789+wxyz";

    fn veil() -> Veil {
        Veil::new(&format!("Bearer {KEY}").parse().unwrap()).unwrap()
    }

    fn through(mut veil: Veil, pieces: &[&str]) -> String {
        let mut said: Vec<u8> = Vec::new();
        for piece in pieces {
            said.extend(veil.feed(Bytes::copy_from_slice(piece.as_bytes())));
        }
        said.extend(veil.finish());
        String::from_utf8(said).unwrap()
    }

    #[test]
    fn the_key_is_covered_at_any_split_and_nothing_else_is_touched() {
        let text = format!("a sk-sk-proj {KEY}{KEY}, {} sk-pro", &KEY[1..]);
        let covered = text.replace(KEY, &"*".repeat(KEY.len()));
        for at in 0..=text.len() {
            assert_eq!(through(veil(), &[&text[..at], &text[at..]]), covered, "{at}");
            assert_eq!(through(veil().over_refusal(), &[&text[..at], &text[at..]]), covered);
        }
        let single: Vec<_> = text.split("").collect();
        assert_eq!(through(veil(), &single), covered);
    }

    #[test]
    fn what_is_no_begin_of_the_key_is_not_held() {
        let mut veil = veil();
        for text in ["data: {\"s\":1}\n\n", "{\"message\":{\"content\":\"sk-\"}}\n"] {
            assert_eq!(veil.feed(Bytes::from(text)), text);
        }
        assert_eq!(veil.feed(Bytes::from_static(b"so s")), "so ");
        assert_eq!(veil.feed(Bytes::from_static(b"o")), "so");
    }

    #[test]
    fn a_refusal_shows_no_part_of_the_key() {
        for (said, left) in [
            ("Incorrect API key provided: sk-proj-********wxyz. Find", "provided: *"),
            ("{\"error\":\"Your api key: ****wxyz is invalid\"}", "key: *"),
            ("key sk***yz.", "key *"),
            ("key sk-proj...wxyz", "key *"),
        ] {
            let covered = through(veil().over_refusal(), &[said]);
            assert!(!covered.contains("yz") && !covered.contains("sk"), "{covered}");
            assert!(covered.contains(left) && covered.len() == said.len(), "{covered}");
        }
        for said in ["a **bold** word ...", "wait.. what", "1..2", "sk-proj is no key"] {
            assert_eq!(through(veil().over_refusal(), &[said]), said);
        }
        // Only a refusal is looked at so: an answer may say what it likes.
        assert_eq!(through(veil(), &["sk-proj-****wxyz"]), "sk-proj-****wxyz");
    }

    #[test]
    fn a_refusal_without_end_is_not_kept() {
        let long = "x".repeat(MAX_REFUSAL_BYTES);
        let mut veil = veil().over_refusal();
        assert!(veil.feed(Bytes::from(long.clone())).is_empty());
        assert_eq!(veil.feed(Bytes::from_static(b"y")).len(), long.len() + 1);
        assert_eq!(veil.feed(Bytes::from_static(b"z")), "z");
    }

    #[test]
    fn headers_with_the_key_go_and_a_short_key_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", format!("<{KEY}>").parse().unwrap());
        headers.insert("retry-after", HeaderValue::from_static("1"));
        veil().cover_headers(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["retry-after"]);
        assert!(Veil::new(&HeaderValue::from_static("Bearer none-needed")).is_none());
    }
}
