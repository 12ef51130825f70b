//! Takes the usage chunk out of a stream whose client did not ask for it. Every other byte passes
//! as it came.

use super::{
    MAX_FRAME_BYTES,
    lines::{Lines, Part},
    sse_data,
};
use bytes::Bytes;
use serde_json::Value;

#[derive(Debug)]
pub struct UsageFilter {
    lines: Lines,
    event: Event,
}

/// What has become of the event that is open.
#[derive(Debug, Default)]
struct Event {
    /// The line before the next end was taken out, and its end goes with it.
    hides_end: bool,
    has_hidden: bool,
    has_passed: bool,
}

impl Default for UsageFilter {
    fn default() -> Self {
        Self { lines: Lines::new(MAX_FRAME_BYTES), event: Event::default() }
    }
}

impl UsageFilter {
    /// What of these bytes, and of those held before, the client gets. A line is held until it is
    /// whole, or too long to be a usage chunk.
    pub fn feed(&mut self, bytes: &[u8]) -> Bytes {
        let mut passed = Vec::with_capacity(bytes.len());
        let Self { lines, event } = self;
        lines.feed(bytes, |part| match part {
            Part::Line(line) => {
                if event.passes(line) {
                    passed.extend_from_slice(line);
                }
            }
            Part::Excess(piece) => {
                event.hides_end = false;
                event.has_passed = true;
                passed.extend_from_slice(piece);
            }
            Part::End(_) if event.hides_end => {}
            Part::End(byte) => passed.push(byte),
        });
        Bytes::from(passed)
    }

    /// What was held when the stream ended.
    pub fn finish(mut self) -> Bytes {
        let rest = self.lines.finish();
        if is_usage_only(&rest) { Bytes::new() } else { Bytes::from(rest) }
    }
}

impl Event {
    fn passes(&mut self, line: &[u8]) -> bool {
        if line.is_empty() {
            // The end of an event of which nothing passed would be an empty event.
            let hides_end = self.has_hidden && !self.has_passed;
            *self = Self { hides_end, ..Self::default() };
        } else if is_usage_only(line) {
            self.hides_end = true;
            self.has_hidden = true;
        } else {
            self.hides_end = false;
            self.has_passed = true;
        }
        !self.hides_end
    }
}

/// The extra chunk has figures and no choice. A first chunk of some providers has neither.
fn is_usage_only(line: &[u8]) -> bool {
    let Some(data) = sse_data(line) else { return false };
    // Nearly no line has it: look before parsing.
    if !data.windows(7).any(|window| window == b"\"usage\"") {
        return false;
    }
    let Ok(chunk) = serde_json::from_slice::<Value>(data) else { return false };
    let no_choice = chunk["choices"].as_array().is_some_and(Vec::is_empty);
    no_choice && chunk["usage"].is_object()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: &str = r#"data: {"choices":[{"delta":{"content":"\"usage\""}}],"usage":null}"#;
    const USAGE: &str = r#"data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}"#;

    fn filtered(pieces: &[&[u8]]) -> String {
        let mut filter = UsageFilter::default();
        let mut passed = Vec::new();
        pieces.iter().for_each(|piece| passed.extend_from_slice(&filter.feed(piece)));
        passed.extend_from_slice(&filter.finish());
        String::from_utf8(passed).unwrap()
    }

    #[test]
    fn the_usage_chunk_goes_and_all_else_stays_at_any_split() {
        for end in ["\n", "\r\n", "\r"] {
            let event = |line: &str| format!("{line}{end}{end}");
            let done = event("data: [DONE]");
            let before =
                format!(": hi{end}{end}{}{}", event(CHUNK), event("data:{\"choices\":[]}"));
            let text = format!("{before}{}{done}", event(USAGE));
            for at in 0..=text.len() {
                let pieces = text.as_bytes().split_at(at);
                assert_eq!(
                    filtered(&[pieces.0, pieces.1]),
                    format!("{before}{done}"),
                    "{end:?} {at}"
                );
            }
        }
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        let cases = [
            "data: {\"choices\":[],\"usage\":null}\n\n",
            "data: {\"choices\":[{}],\"usage\":{}}\n\n",
            "data: {\"usage\":{}}\n\n",
            "data: {\"choices\":[],\"usage\":{}\n\n",
            "event: x\n\n\n\n",
            "data: half of a line",
        ];
        for text in cases {
            assert_eq!(filtered(&[text.as_bytes()]), text);
        }
    }

    #[test]
    fn an_event_with_other_lines_keeps_its_end() {
        let text = format!("id: 1\n{USAGE}\n\n{CHUNK}\n\n");
        assert_eq!(filtered(&[text.as_bytes()]), format!("id: 1\n\n{CHUNK}\n\n"));
        assert_eq!(filtered(&[USAGE.as_bytes()]), "");
    }

    #[test]
    fn a_whole_line_is_not_held() {
        let mut filter = UsageFilter::default();
        assert_eq!(filter.feed(format!("{CHUNK}\n").as_bytes()), format!("{CHUNK}\n"));
        let long = vec![b'x'; MAX_FRAME_BYTES + 1];
        assert_eq!(filter.feed(&long), long);
        assert_eq!(filter.feed(b"y"), "y");
    }
}
