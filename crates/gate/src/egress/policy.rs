//! The verdict: which rules admit a request, and which addresses they let it reach.

use super::{
    Audit, Denial, Host, Name, Reason, Request, Way,
    address::described,
    rule::{Rule, compile},
    target::server_name,
};
use contracts::{
    Faults,
    egress::{PolicySpec, RuleSpec},
};
use std::net::IpAddr;

/// No honest name has more, and every one is looked at.
const MAX_ADDRESSES: usize = 64;

/// Rules that were checked. The default one has none, so nothing leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    max_bytes_out: Option<u64>,
    max_bytes_in: Option<u64>,
}

/// A request that some rules would allow, if its addresses are theirs.
#[derive(Debug)]
pub struct Admitted<'a> {
    request: &'a Request,
    rules: Vec<&'a Rule>,
}

/// The right to connect to one of these addresses, at the request's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    request: Request,
    rule: String,
    addresses: Vec<IpAddr>,
}

/// What a client sends first through its tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening<'a> {
    Tls {
        server_name: Option<&'a [u8]>,
    },
    /// TLS whose hello has another one in it, encrypted: whatever name it shows, it may not mean it.
    Hidden,
    Other,
}

impl Policy {
    pub fn of(spec: &PolicySpec) -> Result<Self, Faults> {
        let policy = Self::of_rules("rules", &spec.rules)?;
        Ok(policy.bounded(spec.max_bytes_out, spec.max_bytes_in))
    }

    /// Checks the rules that stand in the field of this name.
    pub fn of_rules(field: &str, rules: &[RuleSpec]) -> Result<Self, Faults> {
        Ok(Self { rules: compile::rules(field, rules)?, ..Self::default() })
    }

    #[must_use]
    pub fn bounded(self, max_bytes_out: Option<u64>, max_bytes_in: Option<u64>) -> Self {
        Self { max_bytes_out, max_bytes_in, ..self }
    }

    /// All rules of both, and the stricter bounds.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.rules.extend_from_slice(&other.rules);
        self.max_bytes_out = least(self.max_bytes_out, other.max_bytes_out);
        self.max_bytes_in = least(self.max_bytes_in, other.max_bytes_in);
        self
    }

    /// Whether a rule allows this request at all. Only then is its name worth resolving: a question
    /// to the world's resolvers can carry as much as a request.
    pub fn admit<'a>(&'a self, request: &'a Request) -> Result<Admitted<'a>, Denial> {
        let host = &request.target().host;
        self.check_host(host, request.way(), || request.to_string())?;
        let mut rules = Vec::new();
        let mut nearest = Reason::PortNotAllowed;
        for rule in self.rules.iter().filter(|rule| rule.has_host(host)) {
            match rule.check(request) {
                Ok(()) => rules.push(rule),
                Err(reason) if distance(reason) < distance(nearest) => nearest = reason,
                Err(_) => {}
            }
        }
        if rules.is_empty() {
            Err(request.denied(nearest))
        } else {
            Ok(Admitted { request, rules })
        }
    }

    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The rules as a denial lists them.
    pub fn listed(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(Rule::to_string)
    }

    pub(super) fn max_bytes_out(&self) -> Option<u64> {
        self.max_bytes_out
    }

    pub(super) fn max_bytes_in(&self) -> Option<u64> {
        self.max_bytes_in
    }

    pub(super) fn check_host(
        &self,
        host: &Host,
        way: Way,
        target: impl Fn() -> String,
    ) -> Result<(), Denial> {
        let denied = |reason| Err(Denial::new(reason, way, target()));
        match host {
            _ if self.rules.is_empty() => denied(Reason::NoRules),
            Host::Name(name) if name.is_local() => denied(Reason::LocalName),
            host if self.rules.iter().any(|rule| rule.has_host(host)) => Ok(()),
            Host::Name(_) => denied(Reason::HostNotAllowed),
            Host::Address(address) => {
                let denial = Denial::new(Reason::AddressNotARule, way, target());
                Err(denial.because(described(*address)).at(*address))
            }
        }
    }
}

impl<'a> Admitted<'a> {
    /// What to resolve. None where the host is an address.
    pub fn name(&self) -> Option<&'a Name> {
        self.request.name()
    }

    /// Judges what the name resolved to. A host that is an address is judged by itself.
    pub fn approve(&self, resolved: &[IpAddr]) -> Result<Permit, Denial> {
        let own;
        let found = match self.request.target().host {
            Host::Name(_) => resolved,
            Host::Address(address) => {
                own = [address];
                &own
            }
        };
        if found.is_empty() {
            return Err(self.request.denied(Reason::NotResolved));
        }
        if found.len() > MAX_ADDRESSES {
            return Err(self.request.denied(Reason::TooManyAddresses));
        }
        let mut refused = None;
        for rule in &self.rules {
            match rule.check_addresses(self.request, found) {
                Ok(()) => return Ok(Permit::new(self.request, rule, found)),
                Err(denial) => refused = refused.or(Some(denial)),
            }
        }
        Err(refused.unwrap_or_else(|| self.request.denied(Reason::HostNotAllowed)))
    }
}

impl Permit {
    fn new(request: &Request, rule: &Rule, found: &[IpAddr]) -> Self {
        let mut addresses = Vec::with_capacity(found.len());
        for &address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Self { request: request.clone(), rule: rule.to_string(), addresses }
    }

    /// To be tried in this order.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The rule that allowed it, as a denial would list it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// Whether what comes through a tunnel is TLS to the host that the tunnel was asked for. To be
    /// asked before the connection is made: a certificate's name is not the node's to check.
    pub fn opens(&self, opening: Opening<'_>) -> Result<(), Denial> {
        let denied = |reason| Err(self.request.denied(reason));
        match (opening, &self.request.target().host) {
            (Opening::Other, _) => denied(Reason::NotTls),
            (Opening::Hidden, _) => denied(Reason::NameHidden),
            (Opening::Tls { server_name: None }, Host::Address(_)) => Ok(()),
            (Opening::Tls { server_name: None }, Host::Name(_)) => denied(Reason::NameMissing),
            (Opening::Tls { server_name: Some(_) }, Host::Address(_)) => {
                denied(Reason::NameMismatch)
            }
            (Opening::Tls { server_name: Some(said) }, Host::Name(name)) => match server_name(said)
            {
                Ok(said) if said == *name => Ok(()),
                Ok(_) | Err(_) => denied(Reason::NameMismatch),
            },
        }
    }

    pub fn audit(&self) -> Audit {
        Audit {
            decision: "allow",
            way: self.request.way(),
            target: self.request.to_string(),
            reason: None,
            rule: Some(self.rule.clone()),
            addresses: self.addresses.clone(),
            class: None,
        }
    }
}

/// How far a rule was from allowing a request: of several refusals, the nearest tells most.
fn distance(reason: Reason) -> u8 {
    match reason {
        Reason::PathNotAllowed => 0,
        Reason::MethodNotAllowed => 1,
        Reason::TunnelNotAllowed | Reason::PlainNotAllowed => 2,
        _ => 3,
    }
}
