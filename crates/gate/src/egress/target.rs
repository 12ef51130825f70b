//! Where a request wants to go, read from the four places that say it: the authority of a CONNECT,
//! an absolute URI, a Host header and the server name of a TLS hello.

use super::{
    Host, Name, Reason,
    host::MAX_TEXT_BYTES,
    path::{self, Path},
};
use std::fmt;

/// Of a whole absolute URI. The path has a bound of its own.
const MAX_URI_BYTES: usize = 8192;
const HTTP_PORT: u16 = 80;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The target of a CONNECT: host and port, and nothing else.
pub fn authority_form(target: &[u8]) -> Result<Authority, Reason> {
    let (host, port) = split(target)?;
    Ok(Authority { host: Host::read(host)?, port: port.ok_or(Reason::PortMissing)? })
}

/// The target of a plain request: `http://host[:port]/path?query`.
pub fn absolute_form(target: &[u8]) -> Result<(Authority, Path), Reason> {
    if target.len() > MAX_URI_BYTES {
        return Err(Reason::TooLong);
    }
    let rest = after_scheme(target)?;
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = host_header(authority, HTTP_PORT)?;
    Ok((authority, path::read(path)?))
}

/// A Host header; the scheme says which port is meant when none is there.
pub fn host_header(value: &[u8], default_port: u16) -> Result<Authority, Reason> {
    let (host, port) = split(value)?;
    Ok(Authority { host: Host::read(host)?, port: port.unwrap_or(default_port) })
}

/// The server name of a TLS hello: ASCII and a name, without a dot at its end, RFC 6066.
pub fn server_name(name: &[u8]) -> Result<Name, Reason> {
    if !name.is_ascii() {
        return Err(Reason::NotText);
    }
    if name.ends_with(b".") {
        return Err(Reason::BadName);
    }
    match Host::read(name)? {
        Host::Name(name) => Ok(name),
        Host::Address(_) => Err(Reason::BadName),
    }
}

fn after_scheme(target: &[u8]) -> Result<&[u8], Reason> {
    if target.starts_with(b"/") || target == b"*" {
        return Err(Reason::NotAbsolute);
    }
    let colon = target.iter().position(|&byte| byte == b':').ok_or(Reason::NotAbsolute)?;
    let (scheme, rest) = target.split_at(colon);
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    if scheme.is_empty() || !scheme.iter().all(is_scheme) {
        return Err(Reason::NotAbsolute);
    }
    let rest = rest.strip_prefix(b"://").ok_or(Reason::NotAbsolute)?;
    if scheme.eq_ignore_ascii_case(b"http") {
        Ok(rest)
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Err(Reason::UseConnect)
    } else {
        Err(Reason::Scheme)
    }
}

/// Host and port as bytes. What precedes an `@` is refused by name: it is there to deceive.
fn split(authority: &[u8]) -> Result<(&[u8], Option<u16>), Reason> {
    if authority.len() > MAX_TEXT_BYTES {
        return Err(Reason::TooLong);
    }
    if authority.contains(&b'@') {
        return Err(Reason::Userinfo);
    }
    let host_bytes = match authority.first() {
        None => return Err(Reason::EmptyHost),
        Some(b'[') => {
            let close = authority.iter().position(|&byte| byte == b']');
            close.ok_or(Reason::BadAddress)? + 1
        }
        Some(_) => {
            let colon = authority.iter().position(|&byte| byte == b':');
            colon.unwrap_or(authority.len())
        }
    };
    let (host, rest) = authority.split_at(host_bytes);
    match rest.split_first() {
        None => Ok((host, None)),
        // A second colon is an address of version 6 that is not in brackets.
        Some((b':', port)) if port.contains(&b':') => Err(Reason::Brackets),
        Some((b':', port)) => Ok((host, Some(read_port(port)?))),
        Some(_) => Err(Reason::BadCharacter),
    }
}

/// Decimal, without sign, blank or leading nought: what `atoi` takes besides is refused.
fn read_port(text: &[u8]) -> Result<u16, Reason> {
    let plain = text.len() <= 5 && text.iter().all(u8::is_ascii_digit) && !text.starts_with(b"0");
    let number = std::str::from_utf8(text).ok().filter(|_| plain);
    number.and_then(|number| number.parse().ok()).ok_or(Reason::BadPort)
}
