//! Providers of models: what an operator says of one, and what the node tells about it. A key goes
//! in and never comes out.

mod check;
mod credential;
mod profile;

pub use check::{MAX_CREDENTIAL_BYTES, MAX_HEADERS, MAX_MODEL_BYTES, check_model};
pub use credential::Credential;
pub use profile::Profile;

use crate::{Faults, ProviderName, RouteAlias, Version};
use check::{check_auth, check_dialects, check_headers, check_url};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fmt};
use time::OffsetDateTime;

/// What a provider is by default. Everything that follows from it is in its profile, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderType {
    Openai,
    Anthropic,
    Nvidia,
    Ollama,
    OpenaiCompatible,
    AnthropicCompatible,
}

/// How a provider wants to be shown its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    None,
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A header of this name that holds the key alone.
    Header(Cow<'static, str>),
}

/// The ways of asking that a provider understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    Ollama,
    Openai,
    Anthropic,
}

/// `POST /v1/providers`. What is absent is as the type's profile says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRequest {
    pub version: Version,
    pub name: ProviderName,
    #[serde(rename = "type")]
    pub kind: ProviderType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Sent with every call that does not bring its own. They are shown to whoever may ask: no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialects: Option<Vec<Dialect>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// Whether the provider is asked before it is saved.
    #[serde(default = "yes")]
    pub validate: bool,
}

/// `PATCH /v1/providers/{name}`. What is absent stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderPatch {
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// All of them, not one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialects: Option<Vec<Dialect>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// The revision that this change was made for. Another one by now is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(default = "yes")]
    pub validate: bool,
}

/// All of a provider but its key, with nothing left to its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSpec {
    #[serde(rename = "type")]
    pub kind: ProviderType,
    pub base_url: String,
    pub auth: Auth,
    pub headers: BTreeMap<String, String>,
    pub dialects: Vec<Dialect>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderView {
    pub version: Version,
    pub name: ProviderName,
    #[serde(flatten)]
    pub spec: ProviderSpec,
    pub has_credential: bool,
    /// Counts the record's changes, from 1.
    pub revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// The routes that name it.
    pub used_by: Vec<RouteAlias>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderList {
    pub version: Version,
    pub providers: Vec<ProviderView>,
}

/// `POST /v1/providers/{name}:test`. With a model it is asked for a few tokens, else for its models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    pub version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// How a real call went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeView {
    pub version: Version,
    pub provider: ProviderName,
    pub ok: bool,
    /// What was asked, as `GET /v1/models`.
    pub call: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub latency_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<ProbeFault>,
    /// What went wrong and what to do about it, in words of the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Whose fault it is that a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeFault {
    Credential,
    Model,
    RateLimit,
    Connection,
    Provider,
    Unexpected,
}

impl ProviderRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        match &self.base_url {
            Some(url) => check_url(url, &mut faults),
            None => faults.require(
                self.kind.profile().base_url.is_some(),
                "base_url",
                format!("is required for the type {}", self.kind),
            ),
        }
        let spec = self.spec();
        spec.check(&mut faults);
        check_auth(&spec.auth, self.credential.as_ref(), self.credential.is_some(), &mut faults);
        faults.into_result()
    }

    /// What is asked for, completed by the type's profile.
    pub fn spec(&self) -> ProviderSpec {
        let profile = self.kind.profile();
        let own = || profile.headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        // A key for a provider that usually needs none is meant to be shown.
        let auth = || match (&profile.auth, &self.credential) {
            (Auth::None, Some(_)) => Auth::Bearer,
            (auth, _) => auth.clone(),
        };
        let given = || self.base_url.clone().or_else(|| profile.base_url.map(str::to_owned));
        ProviderSpec {
            kind: self.kind,
            base_url: given().unwrap_or_default(),
            auth: self.auth.clone().unwrap_or_else(auth),
            headers: self.headers.clone().unwrap_or_else(|| own().collect()),
            dialects: self.dialects.clone().unwrap_or_else(|| profile.dialects.to_vec()),
        }
    }
}

impl ProviderPatch {
    /// The change alone. Whether what comes of it is right is for `apply` to say.
    pub fn changes_nothing(&self) -> bool {
        self.base_url.is_none()
            && self.auth.is_none()
            && self.headers.is_none()
            && self.dialects.is_none()
            && self.credential.is_none()
    }

    /// What becomes of a provider that has a key or not.
    pub fn apply(&self, spec: &ProviderSpec, has_credential: bool) -> Result<ProviderSpec, Faults> {
        let mut faults = Faults::default();
        if let Some(url) = &self.base_url {
            check_url(url, &mut faults);
        }
        let auth = match (&self.auth, &spec.auth, &self.credential) {
            (Some(auth), ..) => auth.clone(),
            (None, Auth::None, Some(_)) => Auth::Bearer,
            (None, auth, _) => auth.clone(),
        };
        let changed = ProviderSpec {
            kind: spec.kind,
            base_url: self.base_url.clone().unwrap_or_else(|| spec.base_url.clone()),
            auth,
            headers: self.headers.clone().unwrap_or_else(|| spec.headers.clone()),
            dialects: self.dialects.clone().unwrap_or_else(|| spec.dialects.clone()),
        };
        changed.check(&mut faults);
        // A key is dropped with the wish to be shown one.
        let keeps = has_credential && changed.auth != Auth::None;
        let has = self.credential.is_some() || keeps;
        check_auth(&changed.auth, self.credential.as_ref(), has, &mut faults);
        faults.into_result().map(|()| changed)
    }
}

impl ProviderSpec {
    fn check(&self, faults: &mut Faults) {
        check_headers(&self.headers, &self.auth, faults);
        check_dialects(&self.dialects, faults);
    }
}

impl ProbeRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if let Some(model) = &self.model {
            check_model("model", model, &mut faults);
        }
        faults.into_result()
    }
}

impl fmt::Display for ProviderType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.profile().name)
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Bearer => f.pad("bearer"),
            Self::Header(name) => f.pad(&format!("header {name}")),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ollama => "ollama",
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
        })
    }
}

pub(crate) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests;
