//! Taking a request apart: its body within its bounds, its JSON with the faulty field named, its
//! query and its path.

use crate::problem::ApiError;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request,
    body::{Body as _, Bytes, Incoming},
};
use serde::de::DeserializeOwned;
use std::{collections::HashMap, time::Duration};
use zeroize::Zeroize;

/// A body of the largest size takes a second on any network that a node is on.
pub(crate) const BODY_WAIT: Duration = Duration::from_secs(30);

/// For a body that is read only so that its sender sees the refusal.
const DISCARD_WAIT: Duration = Duration::from_secs(3);

/// The whole body, at most so large. One that announces more is refused.
pub(crate) async fn body(request: Request<Incoming>, most: u64) -> Result<Bytes, ApiError> {
    let mut body = request.into_body();
    if body.size_hint().lower() > most {
        discard(&mut body, most).await;
        return Err(ApiError::BodyTooLarge(most));
    }
    let limited = Limited::new(&mut body, most as usize).collect();
    let read = tokio::time::timeout(BODY_WAIT, limited).await;
    match read {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut body, most).await;
            Err(ApiError::BodyTooLarge(most))
        }
        Ok(Err(_)) => Err(ApiError::BodyBroken),
        Err(_) => Err(ApiError::BodyTooSlow),
    }
}

/// Reads some of what nobody wants. A caller that is still sending when the connection closes may
/// never see the answer; one that sends without end does not get more of our time.
pub(crate) async fn discard(body: &mut Incoming, most: u64) {
    let reading = async {
        // Twice the limit: a little too much is a mistake, much more is not one.
        let mut left = most.saturating_mul(2);
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(size) else { return };
            left = rest;
        }
    };
    // Its time is over either way.
    let _late = tokio::time::timeout(DISCARD_WAIT, reading).await;
}

pub(crate) async fn json<T: DeserializeOwned>(
    request: Request<Incoming>,
    most: u64,
) -> Result<T, ApiError> {
    parse(&body(request, most).await?)
}

/// The same for a body that holds a secret: its bytes are wiped once they are read.
pub(crate) async fn secret_json<T: DeserializeOwned>(
    request: Request<Incoming>,
    most: u64,
) -> Result<T, ApiError> {
    let bytes = body(request, most).await?;
    let parsed = parse(&bytes);
    // We are the only one who holds them, except for what the connection reads ahead.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.as_mut().zeroize();
    }
    parsed
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        ApiError::Malformed(match path.as_str() {
            "." => message,
            _ => format!("{path}: {message}"),
        })
    })?;
    deserializer
        .end()
        .map_err(|_| ApiError::Malformed("there is more behind the JSON value".to_owned()))?;
    Ok(parsed)
}

/// The query's parameters. A name that the endpoint does not know is refused by `known`.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn of<B>(request: &Request<B>, known: &[&str]) -> Result<Self, ApiError> {
        let mut found = HashMap::new();
        let query = request.uri().query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let malformed =
                || ApiError::Malformed("the query is not percent-encoded text".to_owned());
            let name = decode(name).ok_or_else(malformed)?;
            let value = decode(&value.replace('+', " ")).ok_or_else(malformed)?;
            if !known.contains(&name.as_str()) {
                return Err(ApiError::Malformed(format!("unknown parameter {name:?}")));
            }
            if found.insert(name.clone(), value).is_some() {
                return Err(ApiError::Malformed(format!("parameter {name:?} is given twice")));
            }
        }
        Ok(Self(found))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there, with a value or without.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn parsed<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let parse = |value: &str| {
            value.parse().map_err(|error| ApiError::Malformed(format!("{name}: {error}")))
        };
        self.get(name).map(parse).transpose()
    }
}

/// Percent-decoding of one segment or value; `None` when it is broken or not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let digit = |byte: u8| (byte as char).to_digit(16);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_and_broken_ones_refused() {
        assert_eq!(decode("a%2Fb%20c").as_deref(), Some("a/b c"));
        for broken in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_fault_in_json_names_its_field() {
        let text = br#"{"version":1,"task_id":"t","job_id":"j","sandbox":{"command":7}}"#;
        let error = parse::<contracts::job::JobRequest>(text).unwrap_err();
        let ApiError::Malformed(message) = error else { panic!("{error:?}") };
        assert!(message.starts_with("sandbox.command: "), "{message}");
    }
}
