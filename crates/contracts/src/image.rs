//! The grammar of an image reference. What does not match it never reaches Podman.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest accepted reference. Registries stop at 255 for the name; a digest adds 72.
const MAX_CHARS: usize = 400;

/// An OCI image reference: `[host[:port]/]path[:tag][@sha256:digest]`, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {MAX_CHARS} characters")]
    TooLong,
    #[error("is not an OCI image reference")]
    Grammar,
}

impl ImageRef {
    pub fn new(text: impl Into<String>) -> Result<Self, ImageError> {
        let text = text.into();
        if text.is_empty() {
            return Err(ImageError::Empty);
        }
        if text.len() > MAX_CHARS {
            return Err(ImageError::TooLong);
        }
        if !is_reference(&text) {
            return Err(ImageError::Grammar);
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return false;
    }
    // A colon after the last slash is a tag; one before it is the port of a registry.
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].find(':') {
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    tag.is_none_or(is_tag) && is_name(name)
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !tag.is_empty()
        && tag.len() <= 128
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_name(name: &str) -> bool {
    let mut parts = name.split('/');
    let Some(first) = parts.next() else {
        return false;
    };
    let rest: Vec<&str> = parts.collect();
    let first_fits = is_path_part(first) || (!rest.is_empty() && is_host(first));
    first_fits && rest.iter().all(|part| is_path_part(part))
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(n, p)| (n, Some(p)));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

/// Lower-case words joined by `.`, `_`, `__` or dashes: a name can't start with a dash.
fn is_path_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(&f), Some(&l)) if word(f) && word(l))
        && bytes.iter().all(|&b| word(b) || matches!(b, b'.' | b'_' | b'-'))
        && !part.contains("..")
}

impl TryFrom<String> for ImageRef {
    type Error = ImageError;
    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::new(text)
    }
}

impl std::str::FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        Self::new(text)
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> String {
        image.0
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_people_write_are_accepted() {
        let digest = format!("alpine@sha256:{}", "0a".repeat(32));
        for text in [
            "alpine",
            "docker.io/library/bash:latest",
            "localhost/pinfold/base:latest",
            "localhost:5000/a/b:1.0_x",
            "registry.example.com/team/app",
            "foo__bar/baz-qux",
            &digest,
        ] {
            assert!(ImageRef::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn options_paths_and_controls_are_not_images() {
        let long = "a".repeat(500);
        for text in [
            "",
            "--privileged",
            "--volume=/:/x",
            "-",
            "/etc",
            "a//b",
            "a b",
            "a\0b",
            "..",
            "a/../b",
            "Alpine",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a@md5:00",
            "http://x/y",
            "x:99999999/y",
            &long,
        ] {
            assert!(ImageRef::new(text).is_err(), "{text:?}");
        }
    }
}
