//! What a request's body may ask for. It is read once, refused or changed in few places, and never
//! written anew: every byte that policy has no opinion on goes upstream as it came.

mod content;
mod edit;
mod fields;
mod json;
mod tools;

pub use json::JsonError;

use crate::{DEFAULT_OUTPUT_TOKENS, Dialect, Endpoint, Kind, ModelMap, Refusal};
use bytes::Bytes;
use edit::Edits;
use http::{HeaderMap, header::CONTENT_ENCODING};
use json::{Member, Shape, Value};
use std::borrow::Cow;

/// What differs between nodes. The rest of the policy has no switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPolicy {
    /// Lets bodies name pictures and documents by URL. The provider fetches them, so this is a way
    /// out past the egress rules.
    pub allows_remote_media: bool,
    /// Asks OpenAI streams for their usage where the client didn't. Off only for providers that
    /// refuse the field: usage is then an estimate.
    pub asks_for_usage: bool,
}

impl Default for BodyPolicy {
    fn default() -> Self {
        Self { allows_remote_media: false, asks_for_usage: true }
    }
}

/// A body that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    Forward(Forward),
    /// Ollama's way to load a model before its first use. Loading is the node's affair, so the
    /// gate answers it: see `models::loaded`.
    Load {
        alias: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub body: Bytes,
    /// The model as the client called it.
    pub alias: String,
    /// The model as the provider calls it.
    pub model: String,
    pub streams: bool,
    /// The most that this call may generate, if it says so.
    pub max_output_tokens: Option<u64>,
    /// The client did not ask for the usage chunk that now comes: a `UsageFilter` takes it out.
    pub hides_usage: bool,
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::new(Kind::Malformed, error.to_string())
    }
}

/// Policy reads bodies, so they come as they are. A client that compresses is told so, and sends
/// again without.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Ok(());
    }
    Err(Refusal::new(Kind::Encoding, "the body must come without content-encoding"))
}

/// Reads, judges and rewrites a body for its endpoint.
pub fn prepare(
    endpoint: Endpoint,
    body: &Bytes,
    policy: BodyPolicy,
    models: &ModelMap,
) -> Result<Prepared, Refusal> {
    let root = json::parse(body)?;
    let members = root.members();
    check_spelling(&members)?;
    let request = Request { endpoint, members: &members };
    let model = request.required_text("model")?;
    let resolved = models.resolve(&model)?;
    fields::check(&request)?;
    tools::check(&request)?;
    content::check(&request, policy.allows_remote_media)?;
    if request.loads_only()? {
        return Ok(Prepared::Load { alias: model.into_owned() });
    }

    let streams = request.streams()?;
    let mut edits = Edits::default();
    if resolved != model {
        edits.replace(request.required("model")?, json_string(resolved));
    }
    let asks = policy.asks_for_usage && streams;
    let hides_usage = fields::rewrite(&request, root, asks, &mut edits)?;
    Ok(Prepared::Forward(Forward {
        alias: model.clone().into_owned(),
        model: resolved.to_owned(),
        streams,
        max_output_tokens: request.max_output_tokens()?,
        hides_usage,
        body: edits.apply(body.clone()),
    }))
}

/// The model that a body names, for answers that the gate gives itself. Ollama's older clients
/// say `name`.
pub fn named_model(body: &[u8]) -> Result<String, Refusal> {
    let root = json::parse(body)?;
    let named = root.get("model").or_else(|| root.get("name")).and_then(Value::string);
    named.map(Cow::into_owned).ok_or_else(|| malformed("model", "must be a string"))
}

/// The body of a call, at its top level.
struct Request<'a, 'm> {
    endpoint: Endpoint,
    members: &'m [Member<'a>],
}

impl<'a> Request<'a, '_> {
    fn dialect(&self) -> Dialect {
        self.endpoint.dialect()
    }

    /// A field that is there and not null.
    fn field(&self, key: &str) -> Option<Value<'a>> {
        let found = self.members.iter().find(|member| member.key == key)?.value;
        (found.shape() != Shape::Null).then_some(found)
    }

    fn required(&self, key: &'static str) -> Result<Value<'a>, Refusal> {
        self.field(key).ok_or_else(|| malformed(key, "is missing"))
    }

    fn required_text(&self, key: &'static str) -> Result<Cow<'a, str>, Refusal> {
        self.required(key)?.string().ok_or_else(|| malformed(key, "must be a string"))
    }

    fn streams(&self) -> Result<bool, Refusal> {
        use Endpoint::{OllamaChat, OllamaGenerate};
        match self.field("stream").map(Value::shape) {
            Some(Shape::Bool(streams)) => Ok(streams),
            Some(_) => Err(malformed("stream", "must be true or false")),
            None => Ok(matches!(self.endpoint, OllamaChat | OllamaGenerate)),
        }
    }

    /// Without a prompt, Ollama loads the model, or with `keep_alive` of zero unloads it, which
    /// would take it from every other job.
    fn loads_only(&self) -> Result<bool, Refusal> {
        let is_empty = |key| match self.field(key) {
            None => true,
            Some(value) if value.shape() == Shape::Array => value.elements().next().is_none(),
            Some(value) => value.is_empty_string(),
        };
        let loads = match self.endpoint {
            Endpoint::OllamaGenerate => ["prompt", "suffix", "images"].into_iter().all(is_empty),
            Endpoint::OllamaChat => is_empty("messages"),
            _ => false,
        };
        let unloads = || self.field("keep_alive").is_some_and(is_no_time);
        if loads && unloads() {
            let message = "a sandbox may not unload models";
            return Err(Refusal::new(Kind::Feature, message).of_field("keep_alive"));
        }
        Ok(loads)
    }

    /// None: it does not say, or says that there is no limit.
    fn max_output_tokens(&self) -> Result<Option<u64>, Refusal> {
        use Endpoint::{ChatCompletions, Completions, Messages, Responses};
        // Only what this endpoint acts on: a small number beside it would hide what is really asked.
        let named: &[&'static str] = match self.endpoint {
            ChatCompletions => &["max_tokens", "max_completion_tokens"],
            Completions | Messages => &["max_tokens"],
            Responses => &["max_output_tokens"],
            _ => &[],
        };
        let mut limits = Vec::new();
        for key in named {
            limits.extend(self.number(key)?);
        }
        let options = self.field("options").filter(|_| self.dialect() == Dialect::Ollama);
        let predicted = options.and_then(|options| options.get("num_predict"));
        limits.extend(predicted.map(|value| number("num_predict", value)).transpose()?.flatten());
        let is_bounded = !limits.is_empty() && limits.iter().all(|limit| *limit >= 0.0);
        // Beyond the largest number it is that number.
        let most = is_bounded.then(|| limits.into_iter().fold(0.0, f64::max).ceil() as u64);
        // Each is an answer of its own, up to that limit.
        let several: &[&'static str] = match self.endpoint {
            ChatCompletions | Completions => &["n", "best_of"],
            _ => &[],
        };
        let mut answers = 1;
        for key in several {
            answers = answers.max(self.number(key)?.unwrap_or_default().ceil() as u64);
        }
        let prompts = match self.endpoint {
            Completions => self.field("prompt").map_or(1, count_prompts),
            _ => 1,
        };
        let answers = answers.saturating_mul(prompts);
        Ok(match most {
            None if answers == 1 => None,
            most => Some(most.unwrap_or(DEFAULT_OUTPUT_TOKENS).saturating_mul(answers)),
        })
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, Refusal> {
        self.field(key).map_or(Ok(None), |value| number(key, value))
    }
}

/// As upstreams read it, in each of its spellings: `1000`, `1e3`, `1000.0`. None for null.
fn number(key: &'static str, value: Value<'_>) -> Result<Option<f64>, Refusal> {
    match value.shape() {
        Shape::Null => Ok(None),
        Shape::Number => value.raw().parse().map(Some).map_err(|_| malformed(key, "is too odd")),
        _ => Err(malformed(key, "must be a number")),
    }
}

/// Each string or list of tokens in a list is a prompt; a flat list of tokens is one.
fn count_prompts(prompt: Value<'_>) -> u64 {
    let is_prompt = |value: &Value<'_>| matches!(value.shape(), Shape::String | Shape::Array);
    (prompt.elements().filter(is_prompt).count() as u64).max(1)
}

/// Zero in any of Ollama's spellings of a duration: `0`, `"0"`, `"0m0s"`, `0.0`.
fn is_no_time(value: Value<'_>) -> bool {
    let text = value.string().unwrap_or(Cow::Borrowed(value.raw()));
    text.contains('0') && !text.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// Go's decoders, Ollama's among them, take `MODEL` for `model`. The fields of every dialect are
/// in lower case, so another spelling is a way around the policy.
fn check_spelling(members: &[Member<'_>]) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    match members.iter().find(|member| !member.key.bytes().all(plain)) {
        None => Ok(()),
        Some(member) => {
            let message = format!("{} is no field", crate::refusal::quoted(&member.key));
            Err(Refusal::new(Kind::Malformed, message))
        }
    }
}

fn malformed(field: &'static str, fault: &str) -> Refusal {
    Refusal::new(Kind::Malformed, format!("{field} {fault}")).of_field(field)
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
