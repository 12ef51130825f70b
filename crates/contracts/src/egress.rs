//! What a job may fetch, as it is written, and what it has fetched. The gate says what it means.

use crate::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One rule. A list that is absent has the meaning that its field says; an empty list is refused,
/// because it could be read as everything and as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// A name, `*.` and a name for everything beneath it at any depth (not the name itself), or an
    /// address.
    pub host: String,
    /// Absent: 443.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<u16>>,
    /// Of plain HTTP. Absent: the usual ones. A rule that has methods or paths opens no tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Of plain HTTP: `/exact`, or `/beneath/*`. Absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Addresses and ranges that the host may have, and no others. Absent: all public ones, by TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_ips: Option<Vec<String>>,
}

/// A policy on the wire. No rules: nothing leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    pub version: Version,
    pub rules: Vec<RuleSpec>,
    /// Bytes that one job may send by these rules. Absent: not bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_out: Option<u64>,
    /// Bytes that one job may receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes_in: Option<u64>,
}

/// What a running sandbox may fetch from now on, in the place of what it could before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressSpec {
    pub version: Version,
    /// Its own rules; with none, and no policy, nothing leaves any more.
    pub egress: Vec<RuleSpec>,
    /// The node's rules of this name, as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_policy: Option<String>,
}

/// The rules that a sandbox has now, and what it has done with those that it had so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressView {
    #[serde(flatten)]
    pub spec: EgressSpec,
    pub usage: EgressUsage,
}

/// The node's policies by their names, with how many sandboxes run by each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressPolicies {
    pub version: Version,
    pub policies: BTreeMap<String, u64>,
}

/// What one job has fetched, and was refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressUsage {
    /// Tunnels and plain requests that a rule allowed.
    pub allowed: u64,
    pub refused: u64,
    pub bytes_out: u64,
    pub bytes_in: u64,
}
