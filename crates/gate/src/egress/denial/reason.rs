//! Every reason for which the gate refuses, in one table: its code, its kind and its sentence.

use http::StatusCode;
use std::fmt;

/// Stable: programs and audits match on the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    TooLong,
    NotText,
    Control,
    Escape,
    Userinfo,
    Underscore,
    BadCharacter,
    EmptyHost,
    EmptyLabel,
    BadName,
    BadAddress,
    AddressSpelling,
    Zone,
    Brackets,
    PortMissing,
    BadPort,
    NotAbsolute,
    Scheme,
    UseConnect,
    BadPath,
    BadMethod,
    HostMissing,
    HostRepeated,
    HostMismatch,
    NoRules,
    LocalName,
    HostNotAllowed,
    AddressNotARule,
    PortNotAllowed,
    TunnelNotAllowed,
    PlainNotAllowed,
    MethodNotAllowed,
    PathNotAllowed,
    QuestionType,
    AddressRefused,
    AddressNotListed,
    PlainToPublic,
    NameMissing,
    NameMismatch,
    NameHidden,
    NotTls,
    BytesOutSpent,
    BytesInSpent,
    NotResolved,
    TooManyAddresses,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The bytes mean nothing, or two things.
    Malformed,
    Policy,
    Spent,
    /// Nothing that the sandbox did: the world's names are at fault.
    Upstream,
}

impl Reason {
    pub const ALL: [Self; 45] = [
        Self::TooLong,
        Self::NotText,
        Self::Control,
        Self::Escape,
        Self::Userinfo,
        Self::Underscore,
        Self::BadCharacter,
        Self::EmptyHost,
        Self::EmptyLabel,
        Self::BadName,
        Self::BadAddress,
        Self::AddressSpelling,
        Self::Zone,
        Self::Brackets,
        Self::PortMissing,
        Self::BadPort,
        Self::NotAbsolute,
        Self::Scheme,
        Self::UseConnect,
        Self::BadPath,
        Self::BadMethod,
        Self::HostMissing,
        Self::HostRepeated,
        Self::HostMismatch,
        Self::NoRules,
        Self::LocalName,
        Self::HostNotAllowed,
        Self::AddressNotARule,
        Self::PortNotAllowed,
        Self::TunnelNotAllowed,
        Self::PlainNotAllowed,
        Self::MethodNotAllowed,
        Self::PathNotAllowed,
        Self::QuestionType,
        Self::AddressRefused,
        Self::AddressNotListed,
        Self::PlainToPublic,
        Self::NameMissing,
        Self::NameMismatch,
        Self::NameHidden,
        Self::NotTls,
        Self::BytesOutSpent,
        Self::BytesInSpent,
        Self::NotResolved,
        Self::TooManyAddresses,
    ];

    pub fn code(self) -> &'static str {
        self.facts().0
    }

    pub fn status(self) -> StatusCode {
        match self.facts().1 {
            Kind::Malformed => StatusCode::BAD_REQUEST,
            // Not 429, which clients repeat: what is spent stays spent.
            Kind::Policy | Kind::Spent => StatusCode::FORBIDDEN,
            Kind::Upstream => StatusCode::BAD_GATEWAY,
        }
    }

    /// What an agent can do about it.
    pub fn hint(self) -> &'static str {
        match self.facts().1 {
            Kind::Malformed => {
                "write the target as CONNECT host:port for TLS, or as http://host:port/path, with \
                 a plain host name"
            }
            Kind::Policy => {
                "only what is in `allowed` can be reached from this sandbox; trying again will not \
                 help, and whoever runs the job can add a rule"
            }
            Kind::Spent => "this job may move no more bytes; trying again will not help",
            Kind::Upstream => "check the spelling of the host; the rules allow it",
        }
    }

    fn facts(self) -> (&'static str, Kind, &'static str) {
        use Kind::{Malformed, Policy, Spent, Upstream};
        match self {
            Self::TooLong => ("too_long", Malformed, "the target or a part of it is too long"),
            Self::NotText => ("not_text", Malformed, "the host is not valid text"),
            Self::Control => ("control_byte", Malformed, "the host holds a control byte"),
            Self::Escape => ("escape_in_host", Malformed, "a host holds no percent escapes"),
            Self::Userinfo => ("userinfo", Malformed, "user names before the host are refused"),
            Self::Underscore => ("underscore", Malformed, "a host name holds no underscore"),
            Self::BadCharacter => {
                ("bad_character", Malformed, "the host holds a sign that none has")
            }
            Self::EmptyHost => ("empty_host", Malformed, "the host is missing"),
            Self::EmptyLabel => ("empty_label", Malformed, "the host holds an empty label"),
            Self::BadName => ("bad_name", Malformed, "the host is not a valid name"),
            Self::BadAddress => ("bad_address", Malformed, "the host is not a valid address"),
            Self::AddressSpelling => {
                ("address_spelling", Malformed, "addresses are written as four decimal numbers")
            }
            Self::Zone => ("zone", Malformed, "an address with a zone is refused"),
            Self::Brackets => ("brackets", Malformed, "a v6 address is written in brackets"),
            Self::PortMissing => ("port_missing", Malformed, "CONNECT needs a port"),
            Self::BadPort => ("bad_port", Malformed, "the port is not a number from 1 to 65535"),
            Self::NotAbsolute => ("not_absolute", Malformed, "a proxy is asked by absolute URI"),
            Self::Scheme => ("scheme", Malformed, "only http URIs are forwarded"),
            Self::UseConnect => ("use_connect", Malformed, "use CONNECT for https URIs"),
            Self::BadPath => ("bad_path", Malformed, "the path is not in its canonical form"),
            Self::BadMethod => ("bad_method", Malformed, "the method is not one"),
            Self::HostMissing => ("host_missing", Malformed, "the Host header is missing"),
            Self::HostRepeated => ("host_repeated", Malformed, "there are several Host headers"),
            Self::HostMismatch => {
                ("host_mismatch", Malformed, "the Host header names another host than the target")
            }
            Self::NoRules => ("no_rules", Policy, "this sandbox has no egress rules"),
            Self::LocalName => ("local_name", Policy, "names of the machine itself are refused"),
            Self::HostNotAllowed => ("host_not_allowed", Policy, "no egress rule has this host"),
            Self::AddressNotARule => {
                ("address_not_a_rule", Policy, "no egress rule has this very address as its host")
            }
            Self::PortNotAllowed => ("port_not_allowed", Policy, "no egress rule has this port"),
            Self::TunnelNotAllowed => {
                ("tunnel_not_allowed", Policy, "the rule is for plain HTTP, and a tunnel hides it")
            }
            Self::PlainNotAllowed => (
                "plain_not_allowed",
                Policy,
                "plain HTTP needs a rule with allowed_ips; use CONNECT and TLS",
            ),
            Self::MethodNotAllowed => {
                ("method_not_allowed", Policy, "the rule has not this method")
            }
            Self::PathNotAllowed => ("path_not_allowed", Policy, "the rule has not this path"),
            Self::QuestionType => ("question_type", Policy, "only A and AAAA are answered"),
            Self::AddressRefused => {
                ("address_refused", Policy, "an address of the host is not open to the rule")
            }
            Self::AddressNotListed => {
                ("address_not_listed", Policy, "an address of the host is not in allowed_ips")
            }
            Self::PlainToPublic => {
                ("plain_to_public", Policy, "plain HTTP goes to addresses that are not public only")
            }
            Self::NameMissing => ("name_missing", Policy, "the TLS hello names no server"),
            Self::NameMismatch => {
                ("name_mismatch", Policy, "the TLS hello names another server than the CONNECT")
            }
            Self::NameHidden => {
                ("name_hidden", Policy, "the TLS hello is encrypted (ECH), and hides its server")
            }
            Self::NotTls => ("not_tls", Policy, "only TLS goes through a tunnel"),
            Self::BytesOutSpent => {
                ("bytes_out_spent", Spent, "the bytes that may go out are spent")
            }
            Self::BytesInSpent => ("bytes_in_spent", Spent, "the bytes that may come in are spent"),
            Self::NotResolved => ("not_resolved", Upstream, "the host has no address"),
            Self::TooManyAddresses => {
                ("too_many_addresses", Upstream, "the host has too many addresses")
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.facts().2)
    }
}

impl std::error::Error for Reason {}
