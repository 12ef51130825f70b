//! A host in its one form: a name as DNS compares names, or an address. Whatever a client writes is
//! brought into it or refused, so that rules, answers and TLS compare like with like.
//!
//! Letters are folded, one dot at the end is dropped, international names become punycode by UTS 46
//! (a look-alike of another script becomes another name). Underscores are refused: no host has one,
//! and resolvers differ on what they do with it.

use super::{Reason, literal::Literal};
use idna::{AsciiDenyList, uts46};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// Of the text before it becomes punycode; far more than a name of 253 bytes can be written with.
pub(super) const MAX_TEXT_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A host name in lower case, in ASCII, without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Name(Name),
    Address(IpAddr),
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies beneath the other: `a.b.example` beneath `example`, nothing beneath itself.
    pub fn is_beneath(&self, other: &Self) -> bool {
        let rest = self.0.strip_suffix(other.as_str());
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// The names of the machine itself, RFC 6761, and ours. None is ever resolved.
    pub(super) fn is_local(&self) -> bool {
        let local = ["localhost", "localdomain", "inference.local"];
        local.into_iter().any(|name| {
            self.0 == name || self.0.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

impl Host {
    /// Reads a host without its port. A v6 address is in brackets, as in a URL.
    pub fn read(text: &[u8]) -> Result<Self, Reason> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Reason::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| Reason::NotText)?;
        match text.strip_prefix('[') {
            Some(rest) => {
                let inside = rest.strip_suffix(']').ok_or(Reason::BadAddress)?;
                Ok(Self::Address(IpAddr::V6(read_v6(inside)?)))
            }
            None => read_name(text),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn read_v6(inside: &str) -> Result<Ipv6Addr, Reason> {
    if inside.contains('%') {
        // A zone chooses an interface of the node, which is not for a sandbox to choose.
        return Err(Reason::Zone);
    }
    inside.chars().try_for_each(check_char)?;
    inside.parse().map_err(|_| Reason::BadAddress)
}

fn read_name(text: &str) -> Result<Host, Reason> {
    text.chars().try_for_each(check_char)?;
    let written = text.strip_suffix('.').unwrap_or(text);
    if written.is_empty() {
        return Err(if text.is_empty() { Reason::EmptyHost } else { Reason::EmptyLabel });
    }
    check_labels(written)?;
    let name = uts46::Uts46::new()
        .to_ascii(
            written.as_bytes(),
            AsciiDenyList::STD3,
            uts46::Hyphens::CheckFirstLast,
            uts46::DnsLength::Ignore,
        )
        .map_err(|_| Reason::BadName)?;
    // Some dots and letters of other scripts have only now become ours.
    check_labels(&name)?;
    if name.len() > MAX_NAME_BYTES || name.split('.').any(|label| label.len() > MAX_LABEL_BYTES) {
        return Err(Reason::TooLong);
    }
    match Literal::read(&name) {
        // A good spelling is one that is good as it was written.
        Some(Literal::Plain(address)) if name == text => Ok(Host::Address(address.into())),
        Some(Literal::Plain(_) | Literal::Odd(_)) => Err(Reason::AddressSpelling),
        Some(Literal::Broken) => Err(Reason::BadAddress),
        None => Ok(Host::Name(Name(name.into_owned()))),
    }
}

/// What gets a reason of its own, because it is a known trick and not a slip.
fn check_char(char: char) -> Result<(), Reason> {
    match char {
        _ if char.is_control() => Err(Reason::Control),
        '%' => Err(Reason::Escape),
        '@' => Err(Reason::Userinfo),
        '_' => Err(Reason::Underscore),
        '/' | '\\' | '?' | '#' | '[' | ']' | '<' | '>' | '*' | '|' | '^' => {
            Err(Reason::BadCharacter)
        }
        _ if char.is_whitespace() => Err(Reason::BadCharacter),
        _ => Ok(()),
    }
}

fn check_labels(name: &str) -> Result<(), Reason> {
    if name.split('.').any(str::is_empty) { Err(Reason::EmptyLabel) } else { Ok(()) }
}
