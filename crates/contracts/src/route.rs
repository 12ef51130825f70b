//! Routes: what a model's name in a sandbox leads to, first to last.

use crate::{
    Faults, ProviderName, Version,
    provider::{check_model, yes},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use time::OffsetDateTime;

/// More would only make the last caller wait.
pub const MAX_TARGETS: usize = 8;
pub const MAX_ALIAS_BYTES: usize = 128;
/// No phase of a call takes a day.
const MAX_TIMEOUT_MS: u64 = 86_400_000;

/// The name of a route: what code in a sandbox puts for a model. `default` is the one that every
/// name without a route of its own leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteAlias(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    #[error("must have 1 to {MAX_ALIAS_BYTES} characters")]
    Length,
    #[error("may hold only letters, digits and `/ - . _ : @`, and no empty or dotted part")]
    Alphabet,
}

/// One model of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    pub provider: ProviderName,
    /// As the provider calls it.
    pub model: String,
}

/// How long each phase of a call may take. What is absent is the node's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTimeouts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u64>,
    /// Between two pieces of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// Of an answer that is not a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
}

/// `PUT /v1/inference` and `PUT /v1/inference/routes/{alias}`: either one provider and model, or the
/// targets in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRequest {
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetSpec>,
    #[serde(default)]
    pub timeouts: RouteTimeouts,
    /// Whether every target is asked for a few tokens before the route is saved.
    #[serde(default = "yes")]
    pub validate: bool,
}

/// `PATCH` on the same paths. What is absent stays; `provider` and `model` are the first target's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePatch {
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<TargetSpec>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// The revision that this change was made for. Another one by now is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(default = "yes")]
    pub validate: bool,
}

/// What a route is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSpec {
    pub targets: Vec<TargetSpec>,
    pub timeouts: RouteTimeouts,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    pub version: Version,
    pub route: RouteAlias,
    /// The first target's.
    pub provider: ProviderName,
    pub model: String,
    pub targets: Vec<TargetView>,
    pub timeouts: RouteTimeouts,
    /// Counts the route's changes, from 1.
    pub revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetView {
    #[serde(flatten)]
    pub target: TargetSpec,
    /// Why it gets no calls now, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteList {
    pub version: Version,
    pub routes: Vec<RouteView>,
}

impl RouteAlias {
    pub const DEFAULT: &str = "default";

    pub fn new(text: impl Into<String>) -> Result<Self, AliasError> {
        let text = text.into();
        if text.is_empty() || text.len() > MAX_ALIAS_BYTES {
            return Err(AliasError::Length);
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._:@".contains(&byte);
        let straight = text.split('/').all(|part| !["", ".", ".."].contains(&part));
        if !straight || !text.bytes().all(plain) {
            return Err(AliasError::Alphabet);
        }
        Ok(Self(text))
    }

    pub fn default_route() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RouteAlias {
    type Error = AliasError;
    fn try_from(text: String) -> Result<Self, AliasError> {
        Self::new(text)
    }
}

impl FromStr for RouteAlias {
    type Err = AliasError;
    fn from_str(text: &str) -> Result<Self, AliasError> {
        Self::new(text)
    }
}

impl From<RouteAlias> for String {
    fn from(alias: RouteAlias) -> String {
        alias.0
    }
}

impl fmt::Display for RouteAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl RouteRequest {
    pub fn spec(&self) -> Result<RouteSpec, Faults> {
        let mut faults = Faults::default();
        let targets = match (&self.provider, &self.model, self.targets.as_slice()) {
            (Some(provider), Some(model), []) => {
                vec![TargetSpec { provider: provider.clone(), model: model.clone() }]
            }
            (None, None, targets) if !targets.is_empty() => targets.to_vec(),
            (None, None, _) => {
                faults.add("targets", "name no target: give a provider and a model");
                Vec::new()
            }
            (_, _, []) => {
                let missing = if self.provider.is_none() { "provider" } else { "model" };
                faults.add(missing, "is required beside the other one");
                Vec::new()
            }
            _ => {
                faults.add("targets", "stand beside a provider or model: give one or the other");
                Vec::new()
            }
        };
        let spec = RouteSpec { targets, timeouts: self.timeouts };
        spec.check(&mut faults);
        faults.into_result().map(|()| spec)
    }
}

impl RoutePatch {
    pub fn changes_nothing(&self) -> bool {
        self.provider.is_none()
            && self.model.is_none()
            && self.targets.is_none()
            && self.timeouts.is_none()
    }

    pub fn apply(&self, spec: &RouteSpec) -> Result<RouteSpec, Faults> {
        let mut faults = Faults::default();
        let first = self.provider.is_some() || self.model.is_some();
        let both = first && self.targets.is_some();
        faults.require(!both, "targets", "stand beside a provider or model: give one or the other");
        let mut targets = self.targets.clone().unwrap_or_else(|| spec.targets.clone());
        if let Some(target) = targets.first_mut() {
            if let Some(provider) = &self.provider {
                target.provider = provider.clone();
            }
            if let Some(model) = &self.model {
                target.model.clone_from(model);
            }
        }
        faults.require(!targets.is_empty(), "targets", "name no target");
        let changed = RouteSpec { targets, timeouts: self.timeouts.unwrap_or(spec.timeouts) };
        changed.check(&mut faults);
        faults.into_result().map(|()| changed)
    }
}

impl RouteSpec {
    fn check(&self, faults: &mut Faults) {
        let many = format!("are more than {MAX_TARGETS}");
        faults.require(self.targets.len() <= MAX_TARGETS, "targets", many);
        for (index, target) in self.targets.iter().enumerate() {
            let field = match self.targets.len() {
                1 => "model".to_owned(),
                _ => format!("targets[{index}].model"),
            };
            check_model(&field, &target.model, faults);
            let again = self.targets[..index].contains(target);
            faults.require(!again, &format!("targets[{index}]"), "is there already");
        }
        let RouteTimeouts { connect_ms, first_byte_ms, idle_ms, total_ms } = self.timeouts;
        let phases = [
            ("timeouts.connect_ms", connect_ms),
            ("timeouts.first_byte_ms", first_byte_ms),
            ("timeouts.idle_ms", idle_ms),
            ("timeouts.total_ms", total_ms),
        ];
        for (field, given) in phases {
            let within = given.is_none_or(|ms| (1..=MAX_TIMEOUT_MS).contains(&ms));
            faults.require(within, field, format!("must be 1 to {MAX_TIMEOUT_MS}"));
        }
    }
}

#[cfg(test)]
mod tests;
