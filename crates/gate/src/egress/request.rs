//! One request of a sandbox, read from its head: where it goes and in which way, with everything
//! that names the host saying the same.

use super::{
    Authority, Denial, Host, Name, Reason, Way,
    path::Path,
    target::{absolute_form, authority_form, host_header},
};
use std::fmt;

const HTTP_PORT: u16 = 80;
const MAX_METHOD_BYTES: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    target: Authority,
    plain: Option<PlainPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlainPart {
    pub(super) method: String,
    pub(super) path: Path,
}

impl Request {
    /// `CONNECT target`, with the values of its Host headers. Older clients send none.
    pub fn connect(target: &[u8], hosts: &[&[u8]]) -> Result<Self, Denial> {
        let read = || {
            let authority = authority_form(target)?;
            match hosts {
                [] => {}
                // Clients that leave the port out of Host mean the one of the target.
                [host] => agree(&authority, &host_header(host, authority.port)?)?,
                _ => return Err(Reason::HostRepeated),
            }
            Ok(Self { target: authority, plain: None })
        };
        read().map_err(|reason| Denial::unread(reason, Way::Tunnel, target))
    }

    /// `method target`, with the values of its Host headers: exactly one, as HTTP/1.1 asks.
    pub fn plain(method: &[u8], target: &[u8], hosts: &[&[u8]]) -> Result<Self, Denial> {
        let read = || {
            let method = read_method(method)?;
            let (authority, path) = absolute_form(target)?;
            match hosts {
                [] => return Err(Reason::HostMissing),
                [host] => agree(&authority, &host_header(host, HTTP_PORT)?)?,
                _ => return Err(Reason::HostRepeated),
            }
            Ok(Self { target: authority, plain: Some(PlainPart { method, path }) })
        };
        read().map_err(|reason| Denial::unread(reason, Way::Plain, target))
    }

    pub fn target(&self) -> &Authority {
        &self.target
    }

    /// The name to resolve, where the host is one.
    pub fn name(&self) -> Option<&Name> {
        match &self.target.host {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }

    pub fn way(&self) -> Way {
        if self.plain.is_some() { Way::Plain } else { Way::Tunnel }
    }

    /// The request line's target for the server of a plain request.
    pub fn origin_form(&self) -> Option<String> {
        self.plain.as_ref().map(|plain| plain.path.origin_form())
    }

    /// What the Host header to the server says: made from the target, never the client's own.
    pub fn host_header(&self) -> String {
        if self.target.port == HTTP_PORT {
            self.target.host.to_string()
        } else {
            self.target.to_string()
        }
    }

    pub(super) fn plain_part(&self) -> Option<&PlainPart> {
        self.plain.as_ref()
    }

    /// A denial of this request for what only its connection shows, such as bytes that are spent.
    pub fn denied(&self, reason: Reason) -> Denial {
        Denial::new(reason, self.way(), &self.target)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

fn agree(target: &Authority, host: &Authority) -> Result<(), Reason> {
    if target == host { Ok(()) } else { Err(Reason::HostMismatch) }
}

/// A token in capitals: methods are told apart by case, and none that is in use has small letters.
fn read_method(method: &[u8]) -> Result<String, Reason> {
    let token = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
    let good = !method.is_empty() && method.len() <= MAX_METHOD_BYTES && method.iter().all(token);
    let text = std::str::from_utf8(method).ok().filter(|_| good);
    text.map(str::to_owned).ok_or(Reason::BadMethod)
}
