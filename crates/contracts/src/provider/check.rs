//! What a provider's fields may hold. All of it ends up in requests that the node makes with a key.

use super::{Auth, Credential, Dialect};
use crate::Faults;
use std::collections::BTreeMap;

const MAX_URL_BYTES: usize = 2048;
pub const MAX_HEADERS: usize = 32;
const MAX_HEADER_NAME_BYTES: usize = 64;
const MAX_HEADER_VALUE_BYTES: usize = 1024;
/// Some providers' keys are signed documents.
pub const MAX_CREDENTIAL_BYTES: usize = 8 << 10;
pub const MAX_MODEL_BYTES: usize = 256;

/// What frames a message, or belongs to its connection: ours to write.
const FRAMING: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What holds a secret. A default header is shown to every operator and kept as it is.
const SECRET: [&str; 8] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-goog-api-key",
];

pub(super) fn check_url(url: &str, faults: &mut Faults) {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return faults.add("base_url", "must begin with https:// or http://");
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('\\');
    faults.require(plain, "base_url", "may hold printable ASCII only");
    faults.require(!authority.is_empty(), "base_url", "names no host");
    faults.require(!authority.contains('@'), "base_url", "must not hold a user or a password");
    faults.require(!url.contains(['?', '#']), "base_url", "must not have a query or a fragment");
    let straight = rest.split('/').skip(1).all(|part| ![".", ".."].contains(&part));
    faults.require(straight && !url.contains('%'), "base_url", "must have a plain path");
    faults.require(url.len() <= MAX_URL_BYTES, "base_url", "is too long");
}

pub(super) fn check_headers(headers: &BTreeMap<String, String>, auth: &Auth, faults: &mut Faults) {
    faults.require(headers.len() <= MAX_HEADERS, "headers", "are too many");
    for (name, value) in headers {
        let field = || format!("headers.{}", shown(name));
        let lower = name.to_ascii_lowercase();
        let shows_key = matches!(auth, Auth::Header(header) if header.eq_ignore_ascii_case(name));
        if !is_token(name) {
            faults.add(field(), "is no header's name");
        } else if FRAMING.contains(&lower.as_str()) {
            faults.add(field(), "is written by the node");
        } else if shows_key || SECRET.contains(&lower.as_str()) {
            faults.add(field(), "holds a secret: give it as the credential");
        }
        let plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !plain || value.len() > MAX_HEADER_VALUE_BYTES {
            faults.add(field(), "has a value that is too long or not printable ASCII");
        }
    }
}

pub(super) fn check_dialects(dialects: &[Dialect], faults: &mut Faults) {
    faults.require(!dialects.is_empty(), "dialects", "must name at least one");
    let twice = dialects.iter().enumerate().any(|(at, one)| dialects[..at].contains(one));
    faults.require(!twice, "dialects", "name one twice");
}

/// `has` tells whether the provider has a key in the end, `new` the one that came with the request.
pub(super) fn check_auth(auth: &Auth, new: Option<&Credential>, has: bool, faults: &mut Faults) {
    match auth {
        Auth::None => {
            faults.require(new.is_none(), "credential", "is shown to nobody: `auth` is none");
        }
        Auth::Bearer => {}
        Auth::Header(name) => {
            faults.require(is_token(name), "auth.header", "is no header's name");
            let ours = FRAMING.contains(&name.to_ascii_lowercase().as_str());
            faults.require(!ours, "auth.header", "is written by the node");
        }
    }
    faults.require(has || *auth == Auth::None, "credential", "is required: `auth` shows one");
    if let Some(new) = new {
        let text = new.reveal();
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        faults.require(plain, "credential", "must be printable ASCII without spaces, not empty");
        faults.require(text.len() <= MAX_CREDENTIAL_BYTES, "credential", "is too long");
    }
}

/// A model as its provider calls it. Providers differ; no terminal and no log shall obey one.
pub fn check_model(field: &str, model: &str, faults: &mut Faults) {
    let plain = !model.is_empty() && model.bytes().all(|byte| byte.is_ascii_graphic());
    faults.require(plain, field, "must be printable ASCII without spaces, not empty");
    let message = format!("must have at most {MAX_MODEL_BYTES} bytes");
    faults.require(model.len() <= MAX_MODEL_BYTES, field, message);
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= MAX_HEADER_NAME_BYTES && name.bytes().all(letter)
}

/// A name that may be anything, fit for a message.
fn shown(name: &str) -> String {
    name.chars().take(MAX_HEADER_NAME_BYTES).flat_map(char::escape_debug).collect()
}
