//! Keys that nobody holds any more are nowhere in memory. All of the process's is looked through.

use super::{
    key::{KEY_BYTES, KeySource},
    secret::Secret,
    vault::{Place, Vault},
};
use contracts::provider::Credential;
use std::{fs::File, os::unix::fs::FileExt};
use zeroize::Zeroizing;

const LENGTH: usize = 160;
/// What an allocator may write over in memory that it was given back.
const BEGIN: usize = 32;
const PIECE: usize = 1 << 20;

/// Byte by byte and never as a whole, so that looking for it leaves none.
fn byte(salt: usize, at: usize) -> u8 {
    const LETTERS: &[u8; 16] = b"0123456789abcdef";
    LETTERS[(salt + at * at * 5 + at / 3) % LETTERS.len()]
}

fn planted(salt: usize, length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length));
    key.extend((0..length).map(|at| byte(salt, at)));
    key
}

fn text(salt: usize, length: usize) -> String {
    let mut text = String::with_capacity(length);
    text.extend((0..length).map(|at| char::from(byte(salt, at))));
    text
}

/// Whether most of such a key is anywhere.
fn is_there(length: usize, byte: impl Fn(usize) -> u8, begin: usize) -> bool {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut piece = Zeroizing::new(vec![0; PIECE + length]);
    let found = |piece: &[u8]| {
        let mut rest = piece;
        let first = byte(begin);
        while let Some(at) = rest.iter().position(|it| *it == first) {
            rest = &rest[at..];
            if rest.len() < length - begin {
                return false;
            }
            if (begin..length).all(|at| rest[at - begin] == byte(at)) {
                return true;
            }
            rest = &rest[1..];
        }
        false
    };
    maps.lines().any(|line| {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|bound| u64::from_str_radix(bound, 16).unwrap());
        rest.starts_with("rw")
            && (from..to).step_by(PIECE).any(|at| {
                let most = piece.len().min((to - at) as usize);
                // Other tests give memory back meanwhile.
                let read = memory.read_at(&mut piece[..most], at).unwrap_or(0);
                found(&piece[..read])
            })
    })
}

fn is_planted(salt: usize, length: usize) -> bool {
    is_there(length, |at| byte(salt, at), BEGIN.min(length / 2))
}

#[test]
fn a_secret_and_its_header_are_wiped_after_their_last_user() {
    let secret = Secret::new(planted(1, LENGTH));
    let header = secret.header("Bearer ").unwrap();
    let (other_secret, other_header) = (secret.clone(), header.clone());
    drop((secret, header));
    assert!(is_planted(1, LENGTH), "it is in use");
    drop(other_secret);
    assert!(is_planted(1, LENGTH), "its header is in use");
    drop(other_header);
    assert!(!is_planted(1, LENGTH));
}

#[test]
fn a_credential_on_its_way_is_wiped() {
    let credential = Credential::new(text(2, LENGTH));
    assert!(is_planted(2, LENGTH), "it is in use");
    drop(credential);
    assert!(!is_planted(2, LENGTH));
}

#[test]
fn the_key_of_keys_and_what_it_opens_are_wiped() {
    let digits = 2 * KEY_BYTES;
    let value = |at: usize| char::from(byte(3, at)).to_digit(16).unwrap() as u8;
    let raw = |at: usize| value(2 * at) << 4 | value(2 * at + 1);
    let source = KeySource::Given(text(3, digits).into());
    let key = source.read(true).unwrap();
    assert!(is_there(KEY_BYTES, raw, 0), "it is in use");
    drop(key);
    assert!(!is_there(KEY_BYTES, raw, KEY_BYTES / 2), "what was read");
    let vault = Vault::new(&source.read(true).unwrap());
    let place = Place { column: "credential", name: "a", revision: 1 };
    let sealed = vault.seal(place, &planted(4, LENGTH)).unwrap();
    assert!(is_planted(3, digits), "the source is in use");
    drop(source);
    assert!(!is_planted(3, digits), "its text");
    assert!(!is_planted(4, LENGTH), "what was sealed");
    let opened = vault.open(place, &sealed).unwrap();
    assert!(is_planted(4, LENGTH), "it is in use");
    drop(opened);
    assert!(!is_planted(4, LENGTH), "what was opened");
    assert!(is_there(KEY_BYTES, raw, 0), "the vault is in use");
    drop(vault);
    assert!(!is_there(KEY_BYTES, raw, KEY_BYTES / 2), "the key itself");
}
