//! A stream's lines, at any split of its bytes and with each of the three ends that SSE allows.

/// What a stream is made of, in order and without a gap, but for the line that is still open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// A piece of a line that is too long to be kept.
    Excess(&'a [u8]),
    /// A byte of the end of the line before.
    End(u8),
}

#[derive(Debug)]
pub(super) struct Lines {
    open: Vec<u8>,
    max_bytes: usize,
    /// The open line has been given away in pieces.
    exceeds: bool,
    /// A line feed that comes now belongs to the end before it.
    after_return: bool,
}

impl Lines {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { open: Vec::new(), max_bytes, exceeds: false, after_return: false }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(Part<'_>)) {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            if let Some(rest) = bytes.strip_prefix(b"\n") {
                on(Part::End(b'\n'));
                bytes = rest;
            }
        }
        while let Some(length) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let (line, end) = (&bytes[..length], bytes[length]);
            self.end_line(line, &mut on);
            on(Part::End(end));
            bytes = &bytes[length + 1..];
            if end == b'\r' {
                match bytes.strip_prefix(b"\n") {
                    Some(rest) => {
                        on(Part::End(b'\n'));
                        bytes = rest;
                    }
                    None => self.after_return = bytes.is_empty(),
                }
            }
        }
        self.keep(bytes, &mut on);
    }

    /// The line that never ended.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.open)
    }

    fn end_line(&mut self, rest: &[u8], on: &mut impl FnMut(Part<'_>)) {
        if std::mem::take(&mut self.exceeds) {
            on(Part::Excess(rest));
        } else if self.open.is_empty() {
            on(Part::Line(rest));
        } else {
            self.open.extend_from_slice(rest);
            on(Part::Line(&self.open));
            self.open.clear();
        }
    }

    fn keep(&mut self, rest: &[u8], on: &mut impl FnMut(Part<'_>)) {
        if !self.exceeds && self.open.len() + rest.len() > self.max_bytes {
            self.exceeds = true;
            on(Part::Excess(&self.open));
            self.open = Vec::new();
        }
        if self.exceeds {
            on(Part::Excess(rest));
        } else {
            self.open.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole lines, and all bytes that were given away.
    fn split(pieces: &[&[u8]], max_bytes: usize) -> (Vec<String>, Vec<u8>) {
        let mut lines = Lines::new(max_bytes);
        let (mut whole, mut all) = (Vec::new(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |part| match part {
                Part::Line(line) => {
                    whole.push(String::from_utf8_lossy(line).into_owned());
                    all.extend_from_slice(line);
                }
                Part::Excess(piece) => all.extend_from_slice(piece),
                Part::End(byte) => all.push(byte),
            });
        }
        all.extend(lines.finish());
        (whole, all)
    }

    #[test]
    fn lines_end_in_three_ways_at_any_split() {
        let text = b"a\n\nb\r\n\r\nc\r\rd\n\re";
        let expected = ["a", "", "b", "", "c", "", "d", ""];
        for at in 0..=text.len() {
            for to in at..=text.len() {
                let (whole, all) = split(&[&text[..at], &text[at..to], b"", &text[to..]], 100);
                assert_eq!(whole, expected, "{at} {to}");
                assert_eq!(all, text);
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_passes_in_pieces() {
        let text = b"short\n0123456789abcdef\nnext\n";
        for at in 6..22 {
            let (whole, all) = split(&[&text[..at], &text[at..]], 3);
            assert!(whole.contains(&"next".to_owned()));
            assert_eq!(all, text, "{at}");
        }
        let (whole, _) = split(&[b"01234", b"5\nnext\n"], 3);
        assert_eq!(whole, ["next"]);
    }
}
