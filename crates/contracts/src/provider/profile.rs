//! What is known of each type of provider, as data: nothing anywhere asks which one it is.

use super::{Auth, Dialect, ProviderType};
use std::{borrow::Cow, str::FromStr};

#[derive(Debug)]
pub struct Profile {
    pub kind: ProviderType,
    pub name: &'static str,
    /// None: every such provider has its own.
    pub base_url: Option<&'static str>,
    pub auth: Auth,
    pub headers: &'static [(&'static str, &'static str)],
    pub dialects: &'static [Dialect],
    /// The variables in which its own clients look for a key, the first one first.
    pub key_variables: &'static [&'static str],
    /// And for the place of the server.
    pub url_variables: &'static [&'static str],
}

static PROFILES: [Profile; 6] = [
    Profile {
        kind: ProviderType::Openai,
        name: "openai",
        base_url: Some("https://api.openai.com/v1"),
        auth: Auth::Bearer,
        headers: &[],
        dialects: &[Dialect::Openai],
        key_variables: &["OPENAI_API_KEY"],
        url_variables: &["OPENAI_BASE_URL"],
    },
    Profile {
        kind: ProviderType::Anthropic,
        name: "anthropic",
        base_url: Some("https://api.anthropic.com"),
        auth: Auth::Header(Cow::Borrowed("x-api-key")),
        headers: &[("anthropic-version", "2023-06-01")],
        dialects: &[Dialect::Anthropic],
        key_variables: &["ANTHROPIC_API_KEY"],
        url_variables: &["ANTHROPIC_BASE_URL"],
    },
    Profile {
        kind: ProviderType::Nvidia,
        name: "nvidia",
        base_url: Some("https://integrate.api.nvidia.com/v1"),
        auth: Auth::Bearer,
        headers: &[],
        dialects: &[Dialect::Openai],
        key_variables: &["NVIDIA_API_KEY"],
        url_variables: &["NVIDIA_BASE_URL"],
    },
    Profile {
        kind: ProviderType::Ollama,
        name: "ollama",
        base_url: Some("http://127.0.0.1:11434"),
        auth: Auth::None,
        headers: &[],
        dialects: &[Dialect::Ollama, Dialect::Openai, Dialect::Anthropic],
        key_variables: &["OLLAMA_API_KEY"],
        url_variables: &["OLLAMA_BASE_URL", "OLLAMA_HOST"],
    },
    Profile {
        kind: ProviderType::OpenaiCompatible,
        name: "openai-compatible",
        base_url: None,
        auth: Auth::Bearer,
        headers: &[],
        dialects: &[Dialect::Openai],
        key_variables: &["OPENAI_API_KEY"],
        url_variables: &["OPENAI_BASE_URL"],
    },
    Profile {
        kind: ProviderType::AnthropicCompatible,
        name: "anthropic-compatible",
        base_url: None,
        auth: Auth::Header(Cow::Borrowed("x-api-key")),
        headers: &[("anthropic-version", "2023-06-01")],
        dialects: &[Dialect::Anthropic],
        key_variables: &["ANTHROPIC_API_KEY"],
        url_variables: &["ANTHROPIC_BASE_URL"],
    },
];

impl Profile {
    pub fn all() -> &'static [Self] {
        &PROFILES
    }
}

impl ProviderType {
    pub fn profile(self) -> &'static Profile {
        match self {
            Self::Openai => &PROFILES[0],
            Self::Anthropic => &PROFILES[1],
            Self::Nvidia => &PROFILES[2],
            Self::Ollama => &PROFILES[3],
            Self::OpenaiCompatible => &PROFILES[4],
            Self::AnthropicCompatible => &PROFILES[5],
        }
    }
}

impl FromStr for ProviderType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = PROFILES.iter().find(|profile| profile.name == text);
        let known = || PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ");
        found.map(|profile| profile.kind).ok_or_else(|| format!("must be one of {}", known()))
    }
}
