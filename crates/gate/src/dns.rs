//! DNS in a sandbox: the names that rules allow are on its own loopback, where TLS to them is taken (`by_name`). All
//! others don't exist.
//!
//! Nothing of a question leaves the node, so that none carries anything out. Its bytes are a sandbox's: one question is
//! read, of which nothing is copied but itself.

use crate::{
    Tenant,
    door::Inner,
    egress::{QuestionType, Reason, question},
    fetch, porter,
};
use bytes::Bytes;
use contracts::sandbox::INFERENCE_HOST;
use http::{HeaderValue, Method, StatusCode, request::Parts};
use relay::{Answer, Received};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// Where RFC 8484 has it, by convention.
const PATH: &str = "/dns-query";
const CONTENT_TYPE: &str = "application/dns-message";
/// RFC 1035, 2.3.4: of a message over UDP.
const MAX_MESSAGE_BYTES: u64 = 512;
const BODY_TIME: Duration = Duration::from_secs(2);

const HEADER_BYTES: usize = 12;
const MAX_NAME_BYTES: usize = 255;
const MAX_LABEL_BYTES: u8 = 63;
const INTERNET: u16 = 1;
/// Seconds. What is true now may not be after the next change of the rules.
const TTL: u32 = 5;

pub(crate) fn is_asked(head: &Parts) -> bool {
    head.uri.path() == PATH && head.method == Method::POST
}

pub(crate) async fn answer(inner: &Arc<Inner>, tenant: &Tenant, body: Received) -> Answer {
    let message = porter::read(body, MAX_MESSAGE_BYTES, BODY_TIME).await;
    let message = message.unwrap_or_default();
    let reply = match Question::read(&message) {
        Some(question) => question.answered(verdict(inner, tenant, &question)),
        None => match malformed(&message) {
            Some(reply) => reply,
            None => return relay::plain(StatusCode::BAD_REQUEST, "no DNS message"),
        },
    };
    porter::said(StatusCode::OK, (HeaderValue::from_static(CONTENT_TYPE), Bytes::from(reply)))
}

fn verdict(inner: &Arc<Inner>, tenant: &Tenant, asked: &Question<'_>) -> Reply {
    let (name, kind) = (asked.name.as_slice(), QuestionType::of_code(asked.kind));
    let here = || if kind == QuestionType::A { Reply::Here } else { Reply::Nothing };
    if tenant.budget.is_some() && name.eq_ignore_ascii_case(INFERENCE_HOST.as_bytes()) {
        return here();
    }
    match question(&tenant.fetching.policy(), name, kind) {
        Ok(_) => here(),
        // The name is allowed, and has nothing of this kind.
        Err(denial) if denial.reason == Reason::QuestionType => Reply::Nothing,
        Err(denial) => {
            fetch::refuse(inner, tenant, &denial);
            Reply::NoSuchName
        }
    }
}

/// What a question is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The sandbox's own loopback.
    Here,
    /// The name is there, and this of it is not.
    Nothing,
    NoSuchName,
}

/// The one question of a message. Public for who fuzzes it.
#[derive(Debug)]
pub struct Question<'a> {
    message: &'a [u8],
    /// Its labels with dots between.
    pub name: Vec<u8>,
    pub kind: u16,
    /// Behind it in the message.
    end: usize,
}

impl<'a> Question<'a> {
    /// None for what no resolver of a program asks: an answer, another operation, several questions, another class, or
    /// a name that is shortened or has a dot within a label.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let header = message.get(..HEADER_BYTES)?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        // Of records behind the question only one is usual: what the client understands beyond RFC 1035.
        let is_plain = header[2] & 0b1111_1010 == 0;
        if !is_plain || count(4) != 1 || count(6) != 0 || count(8) != 0 || count(10) > 1 {
            return None;
        }
        let mut name = Vec::new();
        let mut at = HEADER_BYTES;
        loop {
            let length = *message.get(at)?;
            at += 1;
            match length {
                0 => break,
                1..=MAX_LABEL_BYTES => {
                    let label = message.get(at..at + usize::from(length))?;
                    at += label.len();
                    if label.contains(&b'.') || at - HEADER_BYTES >= MAX_NAME_BYTES {
                        return None;
                    }
                    if !name.is_empty() {
                        name.push(b'.');
                    }
                    name.extend_from_slice(label);
                }
                _ => return None,
            }
        }
        let rest = message.get(at..at + 4)?;
        let (kind, class) =
            (u16::from_be_bytes([rest[0], rest[1]]), u16::from_be_bytes([rest[2], rest[3]]));
        (class == INTERNET).then_some(Self { message, name, kind, end: at + 4 })
    }

    pub fn answered(&self, reply: Reply) -> Vec<u8> {
        let code = if reply == Reply::NoSuchName { NAME_ERROR } else { NO_ERROR };
        let mut said = header(self.message, code, [1, u8::from(reply == Reply::Here)]);
        said.extend_from_slice(&self.message[HEADER_BYTES..self.end]);
        if reply == Reply::Here {
            // The name is the one in the question.
            said.extend_from_slice(&[0xc0, 12]);
            said.extend_from_slice(&[0, 1, 0, 1]);
            said.extend_from_slice(&TTL.to_be_bytes());
            said.extend_from_slice(&[0, 4]);
            said.extend_from_slice(&Ipv4Addr::LOCALHOST.octets());
        }
        said
    }
}

const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const NAME_ERROR: u8 = 3;

/// For who asks in a way that is not read, so that it does not wait. None: it is not told from an answer.
fn malformed(message: &[u8]) -> Option<Vec<u8>> {
    let is_question = message.len() >= HEADER_BYTES && message[2] & 0x80 == 0;
    is_question.then(|| header(message, FORMAT_ERROR, [0, 0]))
}

/// Of an answer to a message that has a whole header, with so many questions and answers behind it.
fn header(message: &[u8], code: u8, [questions, answers]: [u8; 2]) -> Vec<u8> {
    let wants_recursion = message[2] & 1;
    let mut header = message[..2].to_vec();
    header.extend_from_slice(&[0x80 | wants_recursion, 0x80 | code]);
    header.extend_from_slice(&[0, questions, 0, answers, 0, 0, 0, 0]);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As glibc asks, for `www.Example.com`.
    const ASKED: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07Example\x03com\0\x00\x01\x00\x01";

    fn spoilt(at: usize, byte: u8) -> Vec<u8> {
        let mut message = ASKED.to_vec();
        message[at] = byte;
        message
    }

    #[test]
    fn a_question_is_read_and_comes_back_with_its_answer() {
        let question = Question::read(ASKED).unwrap();
        assert_eq!((question.name.as_slice(), question.kind), (&b"www.Example.com"[..], 1));
        let here = question.answered(Reply::Here);
        assert_eq!(here[..12], *b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00");
        assert_eq!(here[12..ASKED.len()], ASKED[12..]);
        assert_eq!(
            here[ASKED.len()..],
            *b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x7f\x00\x00\x01"
        );
        let nothing = question.answered(Reply::Nothing);
        assert_eq!((nothing[3], nothing[7], nothing.len()), (0x80, 0, ASKED.len()));
        let none = question.answered(Reply::NoSuchName);
        assert_eq!((none[3], none[7], none.len()), (0x83, 0, ASKED.len()));
    }

    #[test]
    fn what_a_client_understands_besides_is_not_repeated() {
        let mut message = spoilt(11, 1);
        message.extend_from_slice(b"\0\x00\x29\x04\xd0\0\0\0\0\0\0");
        let question = Question::read(&message).unwrap();
        assert_eq!(question.answered(Reply::Nothing).len(), ASKED.len());
    }

    #[test]
    fn what_is_no_plain_question_is_not_read() {
        for (what, message) in [
            ("an answer", spoilt(2, 0x81)),
            ("another operation", spoilt(2, 0x29)),
            ("cut short", spoilt(2, 0x03)),
            ("two questions", spoilt(5, 2)),
            ("no question", spoilt(5, 0)),
            ("with an answer", spoilt(7, 1)),
            ("with an authority", spoilt(9, 1)),
            ("with two additions", spoilt(11, 2)),
            ("a pointer", spoilt(12, 0xc0)),
            ("a long label", spoilt(12, 64)),
            ("a dot in a label", spoilt(13, b'.')),
            ("another class", spoilt(ASKED.len() - 1, 3)),
        ] {
            assert!(Question::read(&message).is_none(), "{what}");
        }
        for end in 0..ASKED.len() {
            assert!(Question::read(&ASKED[..end]).is_none(), "{end} bytes");
        }
        let long = [
            &ASKED[..12],
            &b"\x3faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[..64]
                .repeat(4),
            b"\0\0\x01\0\x01",
        ]
        .concat();
        assert!(Question::read(&long).is_none());
    }

    #[test]
    fn who_asks_otherwise_is_told_and_nobody_answers_an_answer() {
        assert_eq!(malformed(&spoilt(5, 2)).unwrap(), b"\x12\x34\x81\x81\0\0\0\0\0\0\0\0");
        assert!(malformed(&spoilt(2, 0x81)).is_none() && malformed(&ASKED[..11]).is_none());
    }
}
