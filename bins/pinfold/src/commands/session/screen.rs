//! What untrusted code prints, as a terminal may have it: text, colours, and nothing that works the
//! terminal itself. What is left out is shown as signs, so that nobody is deceived.

use std::io::{IsTerminal, Write};

/// Longest sequence that is waited for.
const MAX_SEQUENCE: usize = 32;

const ESCAPE: char = '\u{1b}';

/// One stream of the terminal's.
pub(super) struct Screen {
    filter: Option<Filter>,
    to_stderr: bool,
}

impl Screen {
    pub(super) fn stdout(raw: bool) -> Self {
        let filters = !raw && std::io::stdout().is_terminal();
        Self { filter: filters.then(Filter::default), to_stderr: false }
    }

    pub(super) fn stderr(raw: bool) -> Self {
        let filters = !raw && std::io::stderr().is_terminal();
        Self { filter: filters.then(Filter::default), to_stderr: true }
    }

    /// Shows what code wrote. Bytes that go to a file or to another program are passed as they are.
    pub(super) fn show(&mut self, text: &str) -> std::io::Result<()> {
        match &mut self.filter {
            Some(filter) => {
                let safe = filter.feed(text);
                self.write(safe.as_bytes())
            }
            None => self.write(text.as_bytes()),
        }
    }

    /// The code has ended: whatever it left open is closed.
    pub(super) fn end(&mut self) -> std::io::Result<()> {
        match &mut self.filter {
            Some(filter) => {
                let rest = filter.end();
                self.write(rest.as_bytes())
            }
            None => Ok(()),
        }
    }

    /// Bytes of ours.
    pub(super) fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let to: &mut dyn Write = match self.to_stderr {
            true => &mut std::io::stderr().lock(),
            false => &mut std::io::stdout().lock(),
        };
        match to.write_all(bytes).and_then(|()| to.flush()) {
            // Who reads us has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}

/// Text whole, whatever pieces it comes in.
#[derive(Default)]
struct Filter {
    /// A sequence that is not whole yet, without its escape.
    sequence: Option<String>,
    coloured: bool,
}

impl Filter {
    fn feed(&mut self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            match &mut self.sequence {
                None => self.plain(c, &mut safe),
                Some(sequence) => {
                    let parameter = c.is_ascii_digit() || c == ';';
                    let goes_on = if sequence.is_empty() { c == '[' } else { parameter };
                    if goes_on && sequence.len() < MAX_SEQUENCE {
                        sequence.push(c);
                        continue;
                    }
                    let sequence = self.sequence.take().unwrap_or_default();
                    // Colours, and the rest of a line that a progress bar clears.
                    if sequence.starts_with('[') && matches!(c, 'm' | 'K') {
                        self.coloured |= c == 'm';
                        safe.push(ESCAPE);
                        safe += &sequence;
                        safe.push(c);
                    } else {
                        safe.push('␛');
                        safe += &sequence;
                        self.plain(c, &mut safe);
                    }
                }
            }
        }
        safe
    }

    fn plain(&mut self, c: char, safe: &mut String) {
        match c {
            ESCAPE => self.sequence = Some(String::new()),
            '\n' | '\t' | '\r' => safe.push(c),
            '\u{7f}' => safe.push('␡'),
            // The signs for control characters stand in their order.
            '\0'..' ' => safe.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('␀')),
            // The same controls in one character, and marks that turn the text's order around.
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                safe.push_str(&c.escape_unicode().to_string());
            }
            _ => safe.push(c),
        }
    }

    fn end(&mut self) -> String {
        let mut rest = String::new();
        if let Some(sequence) = self.sequence.take() {
            rest.push('␛');
            rest += &sequence;
        }
        if std::mem::take(&mut self.coloured) {
            rest += "\u{1b}[0m";
        }
        rest
    }
}

/// One text that is shown by itself.
pub(super) fn safe(text: &str) -> String {
    let mut filter = Filter::default();
    filter.feed(text) + &filter.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_colours_pass() {
        for text in ["a\tb\r\nä€", "\u{1b}[1;31mred", "50%\r\u{1b}[K51%"] {
            assert_eq!(Filter::default().feed(text), text);
        }
        assert_eq!(safe("\u{1b}[31mred"), "\u{1b}[31mred\u{1b}[0m");
    }

    #[test]
    fn nothing_works_the_terminal() {
        for (text, shown) in [
            ("\u{1b}]0;title\u{7}", "␛]0;title␇"),
            ("\u{1b}]52;c;aGk=\u{1b}\\", "␛]52;c;aGk=␛\\"),
            ("\u{1b}[2J\u{1b}[H", "␛[2J␛[H"),
            ("\u{1b}[?1049h", "␛[?1049h"),
            ("\u{1b}P+q\u{1b}\\", "␛P+q␛\\"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{1b}\u{1b}]0;x", "␛␛]0;x"),
            ("\u{1b}c\u{8}\0", "␛c␈␀"),
            ("\u{202e}txt", "\\u{202e}txt"),
        ] {
            assert_eq!(safe(text), shown);
        }
        let long = format!("\u{1b}[{}m", "1;".repeat(100));
        assert!(!safe(&long).contains(ESCAPE));
    }

    #[test]
    fn pieces_make_no_difference() {
        let text = "a\u{1b}[31mb\u{1b}]52;c;x\u{7}c\u{1b}[2J";
        let whole = Filter::default().feed(text);
        for at in 1..text.len() {
            let mut filter = Filter::default();
            assert_eq!(filter.feed(&text[..at]) + &filter.feed(&text[at..]), whole, "{at}");
        }
    }
}
