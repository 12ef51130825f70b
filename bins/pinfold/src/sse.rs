//! Server-sent events, taken apart as they arrive. The bytes are a node's, which relays a hostile
//! program's output, so a line and an event are bounded.

/// Longest event: a result with both streams at their largest, as JSON.
const MAX_EVENT_BYTES: usize = 128 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: String,
}

#[derive(Default)]
pub(crate) struct Parser {
    buffer: Vec<u8>,
    event: Event,
}

#[derive(Debug, thiserror::Error)]
#[error("an event of the stream is too large")]
pub(crate) struct TooLarge;

impl Parser {
    /// Takes a piece of the stream and gives the events that it completes.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.buffer.extend_from_slice(part);
            if self.buffer.len() + self.event.data.len() > MAX_EVENT_BYTES {
                return Err(TooLarge);
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.buffer);
                events.extend(
                    self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
                );
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = value.to_owned(),
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // A comment, which is what a heartbeat is, or a field that we don't know.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": heartbeat\n\nid: 1-0\nevent: stdout\ndata: {\"a\":1}\n\nid: 2-0\r\ndata: x\r\ndata: y\r\n\r\n";

    #[test]
    fn events_are_the_same_wherever_the_stream_is_split() {
        let whole = Parser::default().feed(STREAM.as_bytes()).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[0].name.as_str(), whole[0].data.as_str()), ("stdout", "{\"a\":1}"));
        assert_eq!(whole[1].data, "x\ny");
        for at in 0..STREAM.len() {
            let mut parser = Parser::default();
            let mut events = parser.feed(&STREAM.as_bytes()[..at]).unwrap();
            events.extend(parser.feed(&STREAM.as_bytes()[at..]).unwrap());
            assert_eq!(events, whole, "split at {at}");
        }
    }
}
