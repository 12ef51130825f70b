//! Hellos of a real client, whole and in pieces, and what is none.

use super::*;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName,
};

fn said_to(name: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut said = Vec::new();
    client.write_tls(&mut said).unwrap();
    said
}

fn taken(pieces: &[&[u8]]) -> (Hello, bool) {
    let mut hello = Hello::default();
    let is_known = pieces.iter().any(|piece| hello.take(piece));
    (hello, is_known)
}

fn name(hello: &Hello) -> Option<&[u8]> {
    match hello.opening() {
        Opening::Tls { server_name } => server_name,
        Opening::Hidden | Opening::Other => panic!("no TLS: {hello:?}"),
    }
}

#[test]
fn a_hello_is_the_same_at_every_split() {
    let said = said_to("allowed.test");
    for at in 0..=said.len() {
        let (hello, is_known) = taken(&[&said[..at], &said[at..]]);
        assert!(is_known, "{at}");
        assert_eq!((name(&hello), hello.bytes()), (Some(&b"allowed.test"[..]), &*said), "{at}");
    }
    let bytes: Vec<&[u8]> = said.chunks(1).collect();
    assert_eq!(name(&taken(&bytes).0), Some(&b"allowed.test"[..]));
}

#[test]
fn a_hello_that_is_not_whole_is_no_tls_yet() {
    let said = said_to("allowed.test");
    for at in 0..said.len() {
        let (hello, is_known) = taken(&[&said[..at]]);
        assert!(!is_known && !hello.is_tls(), "{at}");
        assert!(matches!(hello.opening(), Opening::Other), "{at}");
    }
}

#[test]
fn a_client_that_asks_for_an_address_names_nobody() {
    assert_eq!(name(&taken(&[&said_to("192.0.2.1")]).0), None);
}

/// With one more extension at the end of the list. The lengths of the record, of the hello and of the
/// list are put right.
fn extended(mut said: Vec<u8>, kind: u16, data: &[u8]) -> Vec<u8> {
    const SESSION: usize = 5 + 4 + 34;
    let behind = |said: &[u8], at: usize, bytes: usize| {
        let length = said[at..at + bytes].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        at + bytes + length
    };
    let suites = behind(&said, SESSION, 1);
    let list = behind(&said, behind(&said, suites, 2), 1);
    said.extend(kind.to_be_bytes());
    said.extend((data.len() as u16).to_be_bytes());
    said.extend(data);
    for (at, from) in [(3, 5), (7, 9), (list, list + 2)] {
        let length = (said.len() - from) as u16;
        said[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    said
}

/// What an outer hello has: the suite, the key's number, a key, and the inner hello encrypted.
const ENCRYPTED: &[u8] = b"\0\0\x01\0\x01\x07\0\x04key!\0\x08payload!";

#[test]
fn a_hello_with_another_one_in_it_hides_its_name() {
    let plain = said_to("allowed.test");
    for (kind, data) in [(0xfe0d, ENCRYPTED), (0xfe0a, ENCRYPTED), (0xffce, b"encrypted name")] {
        let said = extended(plain.clone(), kind, data);
        for at in 0..=said.len() {
            let (hello, is_known) = taken(&[&said[..at], &said[at..]]);
            assert!(is_known && hello.is_tls() && hello.bytes() == said, "{kind:x} {at}");
            assert_eq!(hello.opening(), Opening::Hidden, "{kind:x} {at}");
        }
        // In records of ten bytes each.
        let records = said[5..].chunks(10);
        let records = records.map(|piece| [&[22, 3, 1, 0, piece.len() as u8], piece].concat());
        let records: Vec<u8> = records.flatten().collect();
        assert_eq!(taken(&[&records]).0.opening(), Opening::Hidden, "{kind:x}");
    }
    // Another extension that nobody knows, as clients like to send, hides nothing.
    let (hello, _) = taken(&[&extended(plain, 0x1a1a, b"grease")]);
    assert_eq!(name(&hello), Some(&b"allowed.test"[..]));
}

#[test]
fn what_follows_a_hello_is_kept_with_it() {
    let said = [said_to("allowed.test"), b"early".to_vec()].concat();
    let (hello, _) = taken(&[&said]);
    assert!(hello.is_tls() && hello.bytes() == said);
}

/// Records of handshake bytes that never become a hello: it says that it is 16 MB long.
fn endless() -> Vec<u8> {
    let mut record = vec![22, 3, 1, 0x10, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x1000, 0);
    record
}

#[test]
fn what_is_no_hello_is_told_at_once_or_at_the_bound() {
    let mut two_names = said_to("allowed.test");
    let at = two_names.windows(12).position(|window| window == b"allowed.test").unwrap();
    // The list of names says that it is longer than its extension.
    two_names[at - 4] = 0xff;
    let mut wrong_version = said_to("allowed.test");
    wrong_version[1] = 9;
    for hostile in [
        &b"SSH-2.0-client\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: allowed.test\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x01\x00",
        b"\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        &[0; 64],
        &[0xff; 64],
        &two_names,
        &wrong_version,
    ] {
        let (hello, is_known) = taken(&[hostile]);
        assert!(is_known && !hello.is_tls(), "{hostile:?}");
    }
    let mut hello = Hello::default();
    let pieces = (1..100).find(|_| hello.take(&endless()));
    assert!(pieces.is_some() && !hello.is_tls(), "{hello:?}");
    assert!(hello.bytes().len() <= MAX_HELLO_BYTES + 0x1005, "{hello:?}");
    let before = hello.bytes().len();
    assert!(hello.take(&said_to("allowed.test")) && hello.bytes().len() == before, "it is over");
}

#[tokio::test]
async fn a_slow_hello_is_none_and_silence_is_nothing() {
    let short = Duration::from_millis(50);
    let (mut client, mut gate) = tokio::io::duplex(4096);
    client.write_all(&said_to("allowed.test")[..40]).await.unwrap();
    let hello = read(&mut gate, short).await.unwrap();
    assert!(!hello.is_tls() && hello.bytes().len() == 40);
    assert!(read(&mut gate, short).await.is_none());
    drop(client);
    assert!(read(&mut gate, Duration::from_secs(60)).await.is_none(), "it went");
}
