//! One model of one provider, with all that a call to it needs.

use super::Breaker;
use crate::{providers::Secret, veil::Veil};
use contracts::{
    ProviderName,
    provider::{self, Auth, ProviderSpec},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use relay::{Dialect, Timeouts, Upstream};
use std::{fmt, sync::Arc};

/// What a route leads to. It never changes: another revision of its provider is another target.
#[derive(Clone)]
pub struct Target {
    pub provider: ProviderName,
    pub model: String,
    pub dialects: Vec<Dialect>,
    /// Shared with all targets at the same place, and with those before them: so are its connections.
    pub upstream: Upstream,
    pub timeouts: Timeouts,
    pub(crate) breaker: Arc<Breaker>,
    access: Arc<Access>,
}

/// How a provider is addressed and what it is shown: the same for all of its models.
pub(crate) struct Access {
    paths: Paths,
    headers: HeaderMap,
    auth: Option<(HeaderName, HeaderValue)>,
}

/// Where a provider's paths are, below its base URL.
#[derive(Debug, PartialEq, Eq)]
struct Paths {
    prefix: String,
    /// The base URL has the version in it, as OpenAI's clients expect.
    is_versioned: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("a header of the provider can't be sent")]
pub(crate) struct Unsendable;

impl Target {
    pub(crate) fn new(
        provider: ProviderName,
        model: String,
        dialects: Vec<Dialect>,
        (upstream, timeouts): (Upstream, Timeouts),
        breaker: Arc<Breaker>,
        access: Arc<Access>,
    ) -> Self {
        Self { provider, model, dialects, upstream, timeouts, breaker, access }
    }

    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.dialects.contains(&dialect)
    }

    /// Where a path of the surface, as `/v1/chat/completions`, is at this provider.
    pub fn path(&self, path: &str) -> String {
        self.access.path(path)
    }

    /// Removes what a client shows and puts in what this provider wants to see. A default header
    /// stands back behind one that came with the call.
    pub fn dress(&self, headers: &mut HeaderMap) {
        self.access.dress(headers);
    }

    /// What keeps the key that it is shown from the client.
    pub(crate) fn veil(&self) -> Option<Veil> {
        self.access.auth.as_ref().and_then(|(_, shown)| Veil::new(shown))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({} {})", self.provider, self.model)
    }
}

impl Access {
    pub(crate) fn new(spec: &ProviderSpec, secret: Option<&Secret>) -> Result<Self, Unsendable> {
        let name = |name: &str| name.parse::<HeaderName>().map_err(|_| Unsendable);
        let mut headers = HeaderMap::new();
        for (key, value) in &spec.headers {
            headers.insert(name(key)?, value.parse().map_err(|_| Unsendable)?);
        }
        let auth = match (&spec.auth, secret) {
            (Auth::None, _) => None,
            // A provider without its key must not be asked as if it needed none.
            (_, None) => return Err(Unsendable),
            (Auth::Bearer, Some(secret)) => Some((AUTHORIZATION, secret.header("Bearer "))),
            (Auth::Header(header), Some(secret)) => Some((name(header)?, secret.header(""))),
        };
        let auth = auth.map(|(name, value)| value.map(|value| (name, value))).transpose();
        Ok(Self { paths: Paths::of(spec), headers, auth: auth.map_err(|_| Unsendable)? })
    }

    pub(crate) fn path(&self, path: &str) -> String {
        let Paths { prefix, is_versioned } = &self.paths;
        match path.strip_prefix("/v1") {
            Some(rest) if *is_versioned => format!("{prefix}{rest}"),
            _ => format!("{prefix}{path}"),
        }
    }

    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        relay::headers::strip_credentials(headers);
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.insert(name.clone(), value.clone());
            }
        }
        if let Some((name, value)) = &self.auth {
            headers.insert(name.clone(), value.clone());
        }
    }
}

impl Paths {
    /// OpenAI's base URLs end with the version or whatever stands for it, everybody else's before it;
    /// and people write either.
    fn of(spec: &ProviderSpec) -> Self {
        let (_, path) = split(&spec.base_url);
        if spec.dialects == [provider::Dialect::Openai] && !path.is_empty() {
            return Self { prefix: path.to_owned(), is_versioned: true };
        }
        let root = path.strip_suffix("/v1").or_else(|| path.strip_suffix("/api")).unwrap_or(path);
        Self { prefix: root.to_owned(), is_versioned: false }
    }
}

/// A base URL as its place and its path, without the slash at the end.
pub(crate) fn split(base_url: &str) -> (&str, &str) {
    let begin = base_url.find("://").map_or(0, |at| at + 3);
    let end = base_url[begin..].find('/').map_or(base_url.len(), |at| begin + at);
    let (origin, path) = base_url.split_at(end);
    (origin, path.trim_end_matches('/'))
}

/// A dialect as a record writes it.
pub(crate) fn spoken(dialect: provider::Dialect) -> Dialect {
    match dialect {
        provider::Dialect::Ollama => Dialect::Ollama,
        provider::Dialect::Openai => Dialect::OpenAi,
        provider::Dialect::Anthropic => Dialect::Anthropic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::provider::ProviderRequest;
    use serde_json::{Value, json};
    use zeroize::Zeroizing;

    fn access(more: Value) -> Access {
        let mut body = json!({"version": 1, "name": "p", "type": "openai"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request: ProviderRequest = serde_json::from_value(body).unwrap();
        let secret = Secret::new(Zeroizing::new(b"sk-1".to_vec()));
        Access::new(&request.spec(), Some(&secret)).unwrap()
    }

    #[test]
    fn a_path_is_where_the_providers_clients_look_for_it() {
        let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
        for (kind, base, path, there) in [
            ("openai", "https://api.openai.com/v1", chat, "/v1/chat/completions"),
            ("openai", "https://a", chat, "/v1/chat/completions"),
            ("openai", "https://a/", chat, "/v1/chat/completions"),
            ("openai", "https://a/v1beta/openai/", chat, "/v1beta/openai/chat/completions"),
            ("anthropic", "https://api.anthropic.com", messages, "/v1/messages"),
            ("anthropic", "https://a/v1", messages, "/v1/messages"),
            ("anthropic", "https://a/api/anthropic", messages, "/api/anthropic/v1/messages"),
            ("ollama", "http://a:11434", "/api/chat", "/api/chat"),
            ("ollama", "http://a:11434/v1", chat, "/v1/chat/completions"),
            ("ollama", "http://a/models/", "/api/chat", "/models/api/chat"),
        ] {
            let access = access(json!({"type": kind, "base_url": base}));
            assert_eq!(access.path(path), there, "{kind} {base}");
        }
    }

    #[test]
    fn a_call_shows_the_providers_key_and_no_other() {
        let bearer = access(json!({"headers": {"openai-organization": "org"}}));
        let custom = access(json!({"auth": {"header": "X-Key"}}));
        let anthropic = access(json!({"type": "anthropic"}));
        let dressed = |access: &Access| {
            let mut headers = HeaderMap::new();
            for name in ["authorization", "x-api-key", "cookie"] {
                headers.insert(name, HeaderValue::from_static("client's"));
            }
            headers.insert("anthropic-version", HeaderValue::from_static("2024-01-01"));
            access.dress(&mut headers);
            headers
        };
        let headers = dressed(&bearer);
        assert_eq!(headers["authorization"], "Bearer sk-1");
        assert_eq!(headers["openai-organization"], "org");
        assert!(!headers.contains_key("x-api-key") && !headers.contains_key("cookie"));
        assert_eq!(dressed(&custom)["x-key"], "sk-1");
        let headers = dressed(&anthropic);
        assert_eq!(
            (&headers["x-api-key"], &headers["anthropic-version"]),
            (&"sk-1".parse().unwrap(), &"2024-01-01".parse().unwrap())
        );
    }

    #[test]
    fn without_its_key_a_provider_is_not_asked() {
        let body = json!({"version": 1, "name": "p", "type": "openai"});
        let request: ProviderRequest = serde_json::from_value(body).unwrap();
        assert!(Access::new(&request.spec(), None).is_err());
    }
}
