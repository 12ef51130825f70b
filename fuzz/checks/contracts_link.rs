//! The link's frames, in both directions: a message that is read can be said again, and is the same.

use contracts::link::{FromAgent, MAX_FRAME_BYTES, ToAgent, decode, encode, frame_length};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(crate) fn check(data: &[u8]) {
    let Some((head, body)) = data.split_first_chunk::<4>() else { return };
    if let Ok(length) = frame_length(*head) {
        assert!(length <= MAX_FRAME_BYTES);
    }
    survives::<FromAgent>(body);
    survives::<ToAgent>(body);
}

fn survives<M: Serialize + DeserializeOwned + Debug + PartialEq>(body: &[u8]) {
    let Ok(message) = decode::<M>(body) else { return };
    let frame = encode(&message).expect("what came in a frame fits into one");
    assert_eq!(frame_length([frame[0], frame[1], frame[2], frame[3]]), Ok(frame.len() - 4));
    assert!(frame.len() - 4 <= body.len(), "it holds more than was sent");
    assert_eq!(decode::<M>(&frame[4..]).as_ref(), Ok(&message));
}
