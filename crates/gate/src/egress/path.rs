//! The path of a plain request, and the patterns that rules match it with. What is matched is what
//! is sent: a path that a server might read in two ways is refused, not repaired.

use super::Reason;
use std::fmt;

const MAX_BYTES: usize = 4096;

/// Patterns are shown to agents and in audit lines.
const MAX_PATTERN_BYTES: usize = 512;

/// A path in canonical form with the query that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    path: String,
    query: Option<String>,
}

/// `/exact`, or `/beneath/*`, which has everything beneath and not `/beneath` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(String),
    /// Ends with a slash.
    Beneath(String),
}

impl Path {
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// What the request line to the server says.
    pub fn origin_form(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

impl Pattern {
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err("is longer than 512 bytes");
        }
        let (stem, beneath) = match text.strip_suffix('*') {
            Some(stem) if stem.ends_with('/') => (stem, true),
            Some(_) => return Err("has a * that is not a whole last segment, as in /api/*"),
            None => (text, false),
        };
        if stem.contains(['*', '?']) {
            return Err("may hold * at its end only, and no query");
        }
        match read(stem.as_bytes()) {
            Ok(path) if path.path != stem => Err("is not in its canonical form"),
            Ok(path) if beneath => Ok(Self::Beneath(path.path)),
            Ok(path) => Ok(Self::Exact(path.path)),
            Err(_) => Err("is not a path in its canonical form"),
        }
    }

    pub(super) fn matches(&self, path: &Path) -> bool {
        match self {
            Self::Exact(exact) => path.path == *exact,
            Self::Beneath(stem) => path.path.starts_with(stem),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Beneath(stem) => write!(f, "{stem}*"),
        }
    }
}

/// Reads what follows the authority of a URI.
pub(super) fn read(text: &[u8]) -> Result<Path, Reason> {
    if text.len() > MAX_BYTES {
        return Err(Reason::TooLong);
    }
    let good = |byte: &u8| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(byte);
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| good(&byte)));
    let text = text.ok_or(Reason::BadPath)?;
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (text, None),
    };
    // A URI may stop at its authority; the server is asked for its root then.
    let path = if path.is_empty() { "/".to_owned() } else { upper_escapes(path)? };
    let segments = path.strip_prefix('/').ok_or(Reason::BadPath)?;
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        // Some servers cut parameters off first: `..;x` is `..` to them.
        let name = segment.split(';').next().unwrap_or_default();
        let is_last = segments.peek().is_none();
        let ends_in_slash = segment.is_empty() && is_last;
        if matches!(name, "" | "." | "..") && !ends_in_slash {
            return Err(Reason::BadPath);
        }
    }
    Ok(Path { path, query })
}

/// Escapes stay, in one spelling. One that hides a letter, a separator, a control or another
/// escape is refused: it is there so that one reader decodes it and another does not.
fn upper_escapes(path: &str) -> Result<String, Reason> {
    let mut upper = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let digits = after.get(..2).ok_or(Reason::BadPath)?;
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Reason::BadPath)?;
        let hides = byte.is_ascii_alphanumeric()
            || byte.is_ascii_control()
            || b"-._~/\\%;?#".contains(&byte)
            || digits.starts_with('+');
        if hides {
            return Err(Reason::BadPath);
        }
        upper.push_str(before);
        upper.push('%');
        upper.push_str(&digits.to_ascii_uppercase());
        rest = &after[2..];
    }
    upper.push_str(rest);
    Ok(upper)
}
