//! What the gate makes of a body: the first byte chooses the endpoint, the rest is the body.
//!
//! A body passes byte for byte where policy has nothing to say; a changed one is JSON, names the right model, and is
//! not changed once more.

use bytes::Bytes;
use gate::{BodyPolicy, Endpoint, Forward, ModelMap, Prepared, Unlisted, named_model, prepare};

pub(crate) fn check(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let endpoint = Endpoint::ALL[usize::from(*choice) % Endpoint::ALL.len()];
    let named = named_model(&body);
    let same = ModelMap::new([], Unlisted::Same);
    // Nothing of this endpoint's is ever rewritten but the model, and that stays.
    if let Some(forward) = forward(Endpoint::Messages, &body, &same) {
        assert_eq!(forward.body, body);
        assert_eq!(named.as_ref(), Ok(&forward.model));
    }
    if let Some(first) = forward(endpoint, &body, &same) {
        let again = forward(endpoint, &first.body, &same).expect("what was passed passes");
        assert_eq!(first.body, again.body);
        assert_eq!((first.model, first.streams), (again.model, again.streams));
    }
    let real = ModelMap::new([], Unlisted::Means("real".to_owned()));
    if let Some(forward) = forward(endpoint, &body, &real) {
        assert_eq!(forward.model, "real");
        assert_eq!(named_model(&forward.body).as_deref(), Ok("real"));
    }
}

fn forward(endpoint: Endpoint, body: &Bytes, models: &ModelMap) -> Option<Forward> {
    match prepare(endpoint, body, BodyPolicy::default(), models) {
        Ok(Prepared::Forward(forward)) => Some(forward),
        Ok(Prepared::Load { .. }) => None,
        Err(refusal) => {
            assert!(refusal.status().is_client_error(), "{refusal}");
            // It quotes what it refuses, and must still be an answer in every dialect.
            let told = refusal.body(endpoint.dialect());
            assert!(told.len() < 8 << 10, "a refusal of {} bytes", told.len());
            assert!(std::str::from_utf8(&told).is_ok());
            None
        }
    }
}
