//! Rules as they are written and as they are applied. Whatever can't be meant is refused when the
//! rule is made, with the field's name, so that a rule that exists can be met.

use super::{
    Class, Denial, Host, Name, Reason, Request,
    address::{self, check_range},
    path::Pattern,
};
use contracts::{Faults, egress::RuleSpec};
use ipnet::IpNet;
use std::{fmt, net::IpAddr};

pub(super) mod compile;

/// A list is read once per request.
const MAX_RULES: usize = 256;
const MAX_LIST: usize = 64;
const HTTPS_PORT: u16 = 443;

/// Of one rule in a denial, which lists many.
const MAX_SHOWN_PATHS: usize = 8;

/// What a rule without `methods` allows. TRACE shows headers that the sandbox should not see, and
/// CONNECT is never a plain request.
const USUAL_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const REFUSED_METHODS: [&str; 3] = ["CONNECT", "TRACE", "PRI"];

/// A rule that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    host: HostPattern,
    ports: Vec<u16>,
    methods: Option<Vec<String>>,
    paths: Option<Vec<Pattern>>,
    allowed_ips: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Exact(Host),
    Beneath(Name),
}

impl Rule {
    pub(super) fn has_host(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (HostPattern::Exact(exact), host) => exact == host,
            (HostPattern::Beneath(suffix), Host::Name(name)) => name.is_beneath(suffix),
            (HostPattern::Beneath(_), Host::Address(_)) => false,
        }
    }

    /// Whether a request to a host of this rule is one that it allows, before any address is known.
    pub(super) fn check(&self, request: &Request) -> Result<(), Reason> {
        if !self.ports.contains(&request.target().port) {
            return Err(Reason::PortNotAllowed);
        }
        let Some(plain) = request.plain_part() else {
            return if self.opens_tunnels() { Ok(()) } else { Err(Reason::TunnelNotAllowed) };
        };
        if self.allowed_ips.is_empty() {
            return Err(Reason::PlainNotAllowed);
        }
        let method = plain.method.as_str();
        let has_method = match &self.methods {
            Some(methods) => methods.iter().any(|listed| listed == method),
            None => USUAL_METHODS.contains(&method),
        };
        if !has_method {
            return Err(Reason::MethodNotAllowed);
        }
        let has_path = |paths: &Vec<Pattern>| paths.iter().any(|path| path.matches(&plain.path));
        if self.paths.as_ref().is_none_or(has_path) { Ok(()) } else { Err(Reason::PathNotAllowed) }
    }

    /// A name one of whose addresses is refused is refused as a whole: it was made to be tried
    /// until the other one comes.
    pub(super) fn check_addresses(
        &self,
        request: &Request,
        addresses: &[IpAddr],
    ) -> Result<(), Denial> {
        let is_plain = request.plain_part().is_some();
        for &address in addresses {
            let class = Class::of(address);
            let refused = match address::check(address, &self.allowed_ips) {
                Err(reason) => reason,
                Ok(()) if is_plain && class == Class::Public => Reason::PlainToPublic,
                Ok(()) => continue,
            };
            return Err(request.denied(refused).because(address::described(address)).at(address));
        }
        Ok(())
    }

    /// What a tunnel carries can't be seen, so a rule that looks at it opens none.
    fn opens_tunnels(&self) -> bool {
        self.methods.is_none() && self.paths.is_none()
    }
}

/// As a denial lists it: `host:port`, and what plain HTTP may do there.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Exact(host) => host.fmt(f)?,
            HostPattern::Beneath(name) => write!(f, "*.{name}")?,
        }
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        write!(f, ":{}", ports.join(","))?;
        if self.allowed_ips.is_empty() {
            return Ok(());
        }
        f.write_str(if self.opens_tunnels() { " (TLS or http" } else { " (http" })?;
        if let Some(methods) = &self.methods {
            write!(f, " {}", methods.join(","))?;
        }
        for path in self.paths.iter().flatten().take(MAX_SHOWN_PATHS) {
            write!(f, " {path}")?;
        }
        let is_cut = self.paths.as_ref().is_some_and(|paths| paths.len() > MAX_SHOWN_PATHS);
        f.write_str(if is_cut { " …)" } else { ")" })
    }
}
