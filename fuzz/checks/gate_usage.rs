//! How the gate reads an upstream's answer: three bytes choose endpoint, framing and split, the rest is the answer.
//!
//! The reading and what passes are the same however the bytes are cut; nothing but a usage chunk is taken out.

use gate::{Endpoint, Framing, Meter, UsageFilter};

pub(crate) fn check(data: &[u8]) {
    let [endpoint, framing, size, answer @ ..] = data else { return };
    let endpoint = Endpoint::ALL[usize::from(*endpoint) % Endpoint::ALL.len()];
    let framing = [Framing::Sse, Framing::Ndjson, Framing::Whole][usize::from(*framing) % 3];
    let size = usize::from(*size).max(1);

    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut meter = Meter::new(endpoint, framing);
        pieces.for_each(|piece| meter.feed(piece));
        meter.finish(1)
    };
    let whole = read(&mut std::iter::once(answer));
    assert_eq!(whole, read(&mut answer.chunks(size)));
    assert_eq!(whole, read(&mut answer.chunks(1)));

    let filter = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut filter = UsageFilter::default();
        let mut passed: Vec<u8> = pieces.flat_map(|piece| filter.feed(piece)).collect();
        passed.extend_from_slice(&filter.finish());
        passed
    };
    let passed = filter(&mut std::iter::once(answer));
    assert_eq!(passed, filter(&mut answer.chunks(size)));
    assert_eq!(passed, filter(&mut answer.chunks(1)));
    if !answer.windows(7).any(|window| window == b"\"usage\"") {
        assert_eq!(passed, answer);
    }
    assert!(passed.len() <= answer.len());
}
