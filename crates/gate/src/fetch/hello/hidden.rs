//! Whether a hello has another one in it, encrypted, with a name that nobody here can read (ECH).

/// Handshake bytes come in records of this type.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const VERSION_AND_RANDOM: usize = 34;

/// The extension of RFC 9849, with those of its drafts, and the encrypted name that was before it.
const HIDING: [u16; 7] = [0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xffce];

/// None where the bytes are no whole hello.
pub(super) fn hides_its_name(said: &[u8]) -> Option<bool> {
    let handshake = handshake(said);
    let mut rest = &handshake[..];
    if take(&mut rest, 1)? != [CLIENT_HELLO] {
        return None;
    }
    let mut hello = vector::<3>(&mut rest)?;
    take(&mut hello, VERSION_AND_RANDOM)?;
    let _session = vector::<1>(&mut hello)?;
    let _suites = vector::<2>(&mut hello)?;
    let _compressions = vector::<1>(&mut hello)?;
    if hello.is_empty() {
        // Older than extensions are.
        return Some(false);
    }
    let mut extensions = vector::<2>(&mut hello)?;
    let mut hides = false;
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let _data = vector::<2>(&mut extensions)?;
        hides |= HIDING.contains(&u16::from_be_bytes([kind[0], kind[1]]));
    }
    Some(hides)
}

/// What the records hold, up to the first that is of another type or is not whole.
fn handshake(mut said: &[u8]) -> Vec<u8> {
    let mut handshake = Vec::with_capacity(said.len());
    while let Some(&[HANDSHAKE, _, _]) = take(&mut said, 3).and_then(|head| head.first_chunk()) {
        let Some(piece) = vector::<2>(&mut said) else { break };
        handshake.extend_from_slice(piece);
    }
    handshake
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (piece, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(piece)
}

/// Bytes behind their length, which has so many bytes itself.
fn vector<'a, const BYTES: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take(rest, BYTES)?;
    take(rest, length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}
