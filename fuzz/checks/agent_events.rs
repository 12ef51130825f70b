//! What a kernel's driver, or code in its place, says: the first byte is the room for results, the
//! second the size of the pieces.
//!
//! The events are the same at any split, and a result is one line that fits.

use sandbox_agent::{Event, Events};

pub(crate) fn check(data: &[u8]) {
    let Some((&[room, piece], said)) = data.split_first_chunk::<2>() else { return };
    let room = u64::from(room);
    let whole = heard(said, said.len().max(1), room);
    assert_eq!(whole, heard(said, usize::from(piece).max(1), room));
    let lines = said.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(whole.len(), lines, "a line is an event");
    for event in whole {
        if let Event::Display(line) = event {
            assert!(line.len() as u64 <= room && line.ends_with(b"\n"), "{line:?}");
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }
}

fn heard(said: &[u8], piece: usize, room: u64) -> Vec<Event> {
    let mut events = Events::default();
    let mut heard = Vec::new();
    for piece in said.chunks(piece) {
        events.take(piece);
        loop {
            match events.next(room) {
                Event::None => break,
                event => heard.push(event),
            }
        }
    }
    heard
}
