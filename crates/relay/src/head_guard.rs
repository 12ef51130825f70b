//! Sees the bytes of requests as they come in, and tells what a parser would hide.
//!
//! The HTTP library settles an ambiguous framing by itself and shows only what it settled on. This
//! guard reads the same heads beside it. It only ever refuses more, and where it can't follow, the
//! connection ends after that request: the two never get to disagree about where one begins.

use memchr::{memchr, memchr_iter, memchr2};
use std::{
    iter,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// More than the library takes, so whoever gets here has been refused there.
const MAX_HEAD_BYTES: usize = 128 << 10;

/// What the guard has seen, for the one who answers. One task reads and answers a connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    heads: AtomicU64,
    faulty: AtomicBool,
    last: AtomicBool,
}

impl Seen {
    /// Whether request number `count` of the connection, from 1, came with an unambiguous head.
    pub(crate) fn vouches_for(&self, count: u64) -> bool {
        !self.faulty.load(Relaxed) && self.heads.load(Relaxed) >= count
    }

    /// Whether the connection must end after the request that it is at.
    pub(crate) fn is_last(&self) -> bool {
        self.faulty.load(Relaxed) || self.last.load(Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct HeadGuard {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In a head, of which this much came with earlier reads.
    Head(Vec<u8>),
    /// In a body with this much to come.
    Body(u64),
    /// Not followed any more.
    Lost,
}

enum Framing {
    Length(u64),
    Chunked,
    /// A CONNECT: what follows is no HTTP, or is not read any more.
    Tunnel,
}

impl HeadGuard {
    pub(crate) fn new() -> Self {
        Self { at: At::Head(Vec::new()) }
    }

    pub(crate) fn see(&mut self, mut bytes: &[u8], seen: &Seen) {
        while !bytes.is_empty() {
            bytes = match &mut self.at {
                At::Lost => return,
                At::Body(left) => {
                    let skipped = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= skipped as u64;
                    if *left == 0 {
                        self.at = At::Head(Vec::new());
                    }
                    &bytes[skipped..]
                }
                At::Head(before) => {
                    let overlap = before.len();
                    let (next, rest) = if overlap == 0 {
                        match end_of_head(bytes, 0) {
                            Some(end) => (Some(framing(&bytes[..end])), &bytes[end..]),
                            None => {
                                before.extend_from_slice(bytes);
                                (None, &bytes[..0])
                            }
                        }
                    } else {
                        before.extend_from_slice(bytes);
                        match end_of_head(before, overlap) {
                            Some(end) => (Some(framing(&before[..end])), &bytes[end - overlap..]),
                            None => (None, &bytes[..0]),
                        }
                    };
                    let too_long = before.len() > MAX_HEAD_BYTES;
                    match next {
                        Some(framing) => self.enter(framing, seen),
                        None if too_long => self.enter(None, seen),
                        None => {}
                    }
                    rest
                }
            }
        }
    }

    fn enter(&mut self, framing: Option<Framing>, seen: &Seen) {
        self.at = match framing {
            Some(Framing::Length(0)) => At::Head(Vec::new()),
            Some(Framing::Length(length)) => At::Body(length),
            Some(Framing::Chunked | Framing::Tunnel) => {
                seen.last.store(true, Relaxed);
                At::Lost
            }
            None => {
                seen.faulty.store(true, Relaxed);
                At::Lost
            }
        };
        seen.heads.fetch_add(1, Relaxed);
    }
}

/// The index behind the empty line that ends a head; `from` is what was searched before.
fn end_of_head(bytes: &[u8], from: usize) -> Option<usize> {
    // Empty lines before a request line belong to no head, and don't end one.
    let begin = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
    let from = from.saturating_sub(3).max(begin);
    let mut ends = memchr_iter(b'\n', &bytes[from..]).map(|at| from + at + 1);
    ends.find(|end| bytes[..*end].ends_with(b"\r\n\r\n"))
}

/// Each with the line feed that ends it.
fn lines(mut head: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let end = memchr(b'\n', head)? + 1;
        let (line, rest) = head.split_at(end);
        head = rest;
        Some(line)
    })
}

/// None when two readers could disagree.
fn framing(head: &[u8]) -> Option<Framing> {
    let mut length = None;
    let mut chunked = false;
    let mut lines = lines(head).map(|line| {
        let line = line.strip_suffix(b"\r\n")?;
        memchr2(b'\r', b'\0', line).is_none().then_some(line)
    });
    let request_line = lines.find(|line| line.is_none_or(|line| !line.is_empty()))??;
    let is_connect = request_line.starts_with(b"CONNECT ");
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        // A line that begins with a blank goes on with the one before, for some.
        let colon = line.iter().position(|byte| b": \t".contains(byte))?;
        if colon == 0 || line[colon] != b':' {
            return None;
        }
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = digits.then(|| std::str::from_utf8(value).ok()?.parse().ok())??;
            if length.replace(number).is_some() {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        (Some(_), true) => None,
        (None, false) if is_connect => Some(Framing::Tunnel),
        (None, true) => Some(Framing::Chunked),
        (length, false) => Some(Framing::Length(length.unwrap_or(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (vouches for the first, is last, heads), with the bytes in one piece, and split everywhere.
    fn seen(bytes: &[u8]) -> (bool, bool, u64) {
        let told = |parts: &[&[u8]]| {
            let (mut guard, seen) = (HeadGuard::new(), Seen::default());
            for part in parts {
                guard.see(part, &seen);
            }
            (seen.vouches_for(1), seen.is_last(), seen.heads.load(Relaxed))
        };
        let whole = told(&[bytes]);
        for at in 0..bytes.len() {
            assert_eq!(told(&[&bytes[..at], &bytes[at..]]), whole, "split at {at}");
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(told(&single), whole, "byte by byte");
        whole
    }

    #[test]
    fn plain_requests_are_followed_one_after_the_other() {
        let two =
            b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(seen(two), (true, false, 2));
        let body = b"POST / HTTP/1.1\r\ncontent-length: 22\r\n\r\nGET / HTTP/1.1\r\na: b\r\n\r\n";
        assert_eq!(seen(body), (true, false, 1));
        assert_eq!(seen(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), (true, false, 1));
    }

    #[test]
    fn after_a_chunked_body_the_connection_ends() {
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(seen(chunked), (true, true, 1));
    }

    #[test]
    fn what_follows_a_connect_is_not_read_as_http() {
        let tunnel = b"CONNECT a:443 HTTP/1.1\r\nhost: a\r\n\r\n\x16\x03\x01GET / HTTP/1.1\r\n\r\n";
        assert_eq!(seen(tunnel), (true, true, 1));
    }

    #[test]
    fn what_two_readers_could_read_apart_is_faulty() {
        for lines in [
            "content-length: 5\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5",
            "content-length: 5\r\ncontent-length: 5",
            "content-length: 5\r\nContent-Length: 6",
            "content-length: 5, 5",
            "content-length: +5",
            "content-length: 0x5",
            "content-length:",
            "content-length: 99999999999999999999999",
            "content-length : 5",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: identity, chunked",
            "transfer-encoding: xchunked",
            "transfer-encoding:\x0bchunked",
            " transfer-encoding: chunked",
            "a: b\r\n c: d",
            "a: b\nc: d",
            "a: b\rc: d",
            "a: b\0",
            "no colon",
            ": nameless",
        ] {
            let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n");
            let (vouched, last, _) = seen(head.as_bytes());
            assert!(!vouched && last, "{lines:?}");
        }
    }

    #[test]
    fn a_head_of_bare_line_feeds_is_never_vouched_for() {
        assert!(!seen(b"GET / HTTP/1.1\nhost: a\n\n").0);
        assert!(!seen(b"GET / HTTP/1.1\nhost: a\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").0);
        assert!(!seen(b"\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").0);
    }

    #[test]
    fn an_endless_head_is_not_kept() {
        let (mut guard, seen) = (HeadGuard::new(), Seen::default());
        for _ in 0..1000 {
            guard.see(&[b'a'; 1000], &seen);
        }
        assert!(matches!(guard.at, At::Lost) && seen.is_last());
    }
}
