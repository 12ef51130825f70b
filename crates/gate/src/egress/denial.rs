//! What is said when the gate says no: a body that an agent can act on, and what the audit line has
//! of either verdict. Neither holds a path, a query or a header: secrets live there.

use super::{Class, Policy, literal::Literal};
use crate::refusal::quoted;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use std::{fmt, net::IpAddr};

mod reason;

pub use reason::Reason;

/// How many rules a body lists; an agent that needs more of them asks a person.
const MAX_LISTED_RULES: usize = 32;

/// The way in which something left, or tried to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// CONNECT, and TLS in it.
    Tunnel,
    /// An absolute-form request.
    Plain,
    /// A DNS question.
    Question,
}

impl Way {
    pub fn code(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Plain => "plain",
            Self::Question => "question",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {reason}{}", detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default())]
pub struct Denial {
    pub reason: Reason,
    pub way: Way,
    /// Host and port in canonical form, or what the client wrote, made tame.
    pub target: String,
    /// What the reason leaves open: the address that was refused, the methods that are allowed.
    pub detail: Option<String>,
    pub address: Option<IpAddr>,
}

/// The fields of one audit line, beside the job's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub decision: &'static str,
    pub way: Way,
    pub target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Those that may be connected to, or the one that was refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Of the refused address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
}

impl Denial {
    pub(super) fn new(reason: Reason, way: Way, target: impl fmt::Display) -> Self {
        Self { reason, way, target: target.to_string(), detail: None, address: None }
    }

    /// For a target that could not be read.
    pub(super) fn unread(reason: Reason, way: Way, target: &[u8]) -> Self {
        let authority = String::from_utf8_lossy(authority_of(target));
        let denial = Self::new(reason, way, quoted(&authority));
        let host = authority.split(':').next().unwrap_or_default();
        match Literal::read(host) {
            Some(Literal::Odd(address)) if reason == Reason::AddressSpelling => {
                let class = Class::of(address.into());
                denial.because(format!("some read this as {address}, which is {class}"))
            }
            _ => denial,
        }
    }

    pub(super) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn at(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Of the refused address.
    pub fn class(&self) -> Option<Class> {
        self.address.map(Class::of)
    }

    pub fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// What the sandbox reads. It names the rules: who may use them may know them.
    pub fn body(&self, policy: &Policy) -> Bytes {
        let allowed: Vec<String> = policy.listed().take(MAX_LISTED_RULES).collect();
        let omitted = policy.listed().count() - allowed.len();
        let body = json!({
            "error": "egress_denied",
            "reason": self.reason.code(),
            "message": self.to_string(),
            "target": self.target,
            "allowed": allowed,
            "allowed_omitted": omitted,
            "hint": self.reason.hint(),
        });
        Bytes::from(body.to_string())
    }

    pub fn audit(&self) -> Audit {
        Audit {
            decision: "deny",
            way: self.way,
            target: self.target.clone(),
            reason: Some(self.reason.code()),
            rule: None,
            addresses: self.address.into_iter().collect(),
            class: self.class(),
        }
    }
}

/// The part of an unreadable target that holds no path, query, user name or password, as far as it
/// has parts at all.
fn authority_of(target: &[u8]) -> &[u8] {
    let scheme_end = target.windows(3).position(|window| window == b"://");
    let rest = &target[scheme_end.map_or(0, |at| at + 3)..];
    let authority = rest.split(|byte| b"/\\?#".contains(byte)).next().unwrap_or_default();
    authority.rsplit(|&byte| byte == b'@').next().unwrap_or_default()
}
