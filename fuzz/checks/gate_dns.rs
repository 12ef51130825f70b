//! DNS questions of a sandbox.
//!
//! One that is read has a short name, and comes back in its answer byte for byte, with nothing of what was behind it.

use gate::{Question, Reply};

pub(crate) fn check(message: &[u8]) {
    let Some(question) = Question::read(message) else { return };
    assert!(question.name.len() <= 253, "{} bytes", question.name.len());
    for (reply, code, rest) in
        [(Reply::Here, 0, 16), (Reply::Nothing, 0, 0), (Reply::NoSuchName, 3, 0)]
    {
        let said = question.answered(reply);
        assert_eq!(said[..2], message[..2]);
        assert_eq!((said[2] & 0xf8, said[3] & 15), (0x80, code));
        assert_eq!(said[4..12], [0, 1, 0, u8::from(rest > 0), 0, 0, 0, 0]);
        let asked = &said[12..said.len() - rest];
        assert!(message[12..].starts_with(asked));
        // What is asked back is the same question, and an answer is none.
        let again = [&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], asked].concat();
        let again = Question::read(&again).expect("the same question");
        assert_eq!((&again.name, again.kind), (&question.name, question.kind));
        assert!(Question::read(&said).is_none());
    }
}
