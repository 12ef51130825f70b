//! Just enough gzip to send some to a client that did not ask for it: stored, not compressed.

use hyper::body::Bytes;
use std::iter;

const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// An empty stored block that is the last.
const LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// A stored block tells its length in 16 bits.
const MAX_BLOCK: usize = 0xffff;

/// One gzip stream. Each frame can be read as soon as it is there.
pub(super) fn frames(
    frames: impl Iterator<Item = Bytes> + Send,
) -> impl Iterator<Item = Bytes> + Send {
    let mut frames = frames.fuse();
    let mut sum = Crc::default();
    let mut length = 0_u32;
    let mut ended = false;
    let body = iter::from_fn(move || {
        if let Some(frame) = frames.next() {
            sum.add(&frame);
            // The format counts modulo 2³².
            length = length.wrapping_add(frame.len() as u32);
            return Some(stored(&frame));
        }
        let first = !std::mem::replace(&mut ended, true);
        let end = || [&LAST[..], &sum.value().to_le_bytes(), &length.to_le_bytes()].concat();
        first.then(|| Bytes::from(end()))
    });
    iter::once(Bytes::from_static(&HEAD)).chain(body)
}

fn stored(frame: &[u8]) -> Bytes {
    let blocks = frame.chunks(MAX_BLOCK).flat_map(|block| {
        let length = block.len() as u16;
        let head = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
        head.into_iter().chain(block.iter().copied())
    });
    blocks.collect()
}

/// CRC-32 as gzip has it, bit by bit: it is only ever a few kilobytes.
struct Crc(u32);

impl Default for Crc {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                let carry = self.0 & 1;
                self.0 >>= 1;
                if carry == 1 {
                    self.0 ^= 0xedb8_8320;
                }
            }
        }
    }

    fn value(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        let mut sum = Crc::default();
        sum.add(b"123456789");
        assert_eq!(sum.value(), 0xcbf4_3926);
    }

    #[test]
    fn the_stream_has_a_head_blocks_and_an_end() {
        let all: Vec<u8> = frames(iter::once(Bytes::from("hi"))).flatten().collect();
        assert_eq!(all[..10], HEAD);
        assert_eq!(all[10..17], [0, 2, 0, 0xfd, 0xff, b'h', b'i']);
        assert_eq!(all[17..22], LAST);
        assert_eq!(all[26..], [2, 0, 0, 0]);
    }
}
