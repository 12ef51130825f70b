//! What a sandbox says first through a tunnel: the first byte is a split, the rest are the bytes.
//!
//! However it is cut, it is the same hello or none; all of it is kept; a name is short.

use gate::{Hello, egress::Opening};

pub(crate) fn check(data: &[u8]) {
    let Some((split, said)) = data.split_first() else { return };
    let whole = taken(std::iter::once(said));
    let pieces = taken(said.chunks(usize::from(*split).max(1)));
    assert_eq!(whole.is_tls(), pieces.is_tls(), "{whole:?} {pieces:?}");
    assert_eq!(name(&whole), name(&pieces));
    assert_eq!(whole.opening(), pieces.opening());
    // The last piece may have had more than the hello.
    assert!(said.starts_with(pieces.bytes()) && whole.bytes() == said);
    assert!(name(&whole).is_none_or(|name| !name.is_empty() && name.len() <= 255));
}

fn taken<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Hello {
    let mut hello = Hello::default();
    for piece in pieces {
        if hello.take(piece) {
            break;
        }
    }
    hello
}

fn name(hello: &Hello) -> Option<&[u8]> {
    match hello.opening() {
        Opening::Tls { server_name } => server_name,
        Opening::Hidden | Opening::Other => None,
    }
}
