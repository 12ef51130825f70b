//! What a sandbox may call: the whole list, matched on the raw bytes of the request line. What is
//! not on it is refused before a byte of the body is read.

use crate::{Kind, Refusal, refusal::quoted};
use http::HeaderMap;
pub use http::Method;
use relay::Dialect;

/// Longer than any path of ours with the longest model name.
const MAX_TARGET_BYTES: usize = 1024;
const MAX_MODEL_ID_BYTES: usize = 256;

/// The one query that an SDK needs: the beta half of Anthropic's SDKs marks its calls by it.
const BETA: &str = "beta=true";

/// Anthropic's list of models has OpenAI's path; only its clients send this.
const ANTHROPIC_VERSION: &str = "anthropic-version";

/// A call that goes to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
    OllamaEmbeddings,
    ChatCompletions,
    Completions,
    Responses,
    Embeddings,
    Messages,
    CountTokens,
}

/// A question that the gate answers itself, from the job's aliases. The provider never hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The sign of life that Ollama's clients look for.
    Running,
    Version,
    Tags,
    Ps,
    /// The model is in the body: see `models::show_asks`.
    Show,
    OpenAiModels,
    OpenAiModel(String),
    AnthropicModels,
    AnthropicModel(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `query` is what goes upstream with the path; nothing else of the query does.
    Infer {
        endpoint: Endpoint,
        query: Option<&'static str>,
    },
    Answer(Answer),
}

/// The dialect to refuse in, for a target that may be on no list.
pub(crate) fn dialect_of(target: &str, headers: &HeaderMap) -> Dialect {
    match Dialect::of(target) {
        Dialect::OpenAi if headers.contains_key(ANTHROPIC_VERSION) => Dialect::Anthropic,
        dialect => dialect,
    }
}

impl Endpoint {
    pub const ALL: [Self; 10] = [
        Self::OllamaChat,
        Self::OllamaGenerate,
        Self::OllamaEmbed,
        Self::OllamaEmbeddings,
        Self::ChatCompletions,
        Self::Completions,
        Self::Responses,
        Self::Embeddings,
        Self::Messages,
        Self::CountTokens,
    ];

    pub fn path(self) -> &'static str {
        match self {
            Self::OllamaChat => "/api/chat",
            Self::OllamaGenerate => "/api/generate",
            Self::OllamaEmbed => "/api/embed",
            Self::OllamaEmbeddings => "/api/embeddings",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Responses => "/v1/responses",
            Self::Embeddings => "/v1/embeddings",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
        }
    }

    pub fn dialect(self) -> Dialect {
        match self {
            Self::OllamaChat
            | Self::OllamaGenerate
            | Self::OllamaEmbed
            | Self::OllamaEmbeddings => Dialect::Ollama,
            Self::ChatCompletions | Self::Completions | Self::Responses | Self::Embeddings => {
                Dialect::OpenAi
            }
            Self::Messages | Self::CountTokens => Dialect::Anthropic,
        }
    }

    /// Whether tokens come out: embeddings and counts have none.
    pub fn generates(self) -> bool {
        !matches!(
            self,
            Self::OllamaEmbed | Self::OllamaEmbeddings | Self::Embeddings | Self::CountTokens
        )
    }

    fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

impl Answer {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Running | Self::Version | Self::Tags | Self::Ps | Self::Show => Dialect::Ollama,
            Self::OpenAiModels | Self::OpenAiModel(_) => Dialect::OpenAi,
            Self::AnthropicModels | Self::AnthropicModel(_) => Dialect::Anthropic,
        }
    }

    /// The methods are those of Ollama itself: its clients knock with HEAD.
    fn of_path(path: &str, anthropic: bool) -> Option<(Self, &'static [Method])> {
        const READ: &[Method] = &[Method::GET];
        const READ_OR_KNOCK: &[Method] = &[Method::GET, Method::HEAD];
        const WRITE: &[Method] = &[Method::POST];
        let found = match path {
            "/" => (Self::Running, READ_OR_KNOCK),
            "/api/version" => (Self::Version, READ_OR_KNOCK),
            "/api/tags" => (Self::Tags, READ_OR_KNOCK),
            "/api/ps" => (Self::Ps, READ),
            "/api/show" => (Self::Show, WRITE),
            "/v1/models" if anthropic => (Self::AnthropicModels, READ),
            "/v1/models" => (Self::OpenAiModels, READ),
            _ => {
                let id = path.strip_prefix("/v1/models/").filter(|id| is_model_id(id))?.to_owned();
                let model =
                    if anthropic { Self::AnthropicModel(id) } else { Self::OpenAiModel(id) };
                (model, READ)
            }
        };
        Some(found)
    }
}

impl Call {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Infer { endpoint, .. } => endpoint.dialect(),
            Self::Answer(answer) => answer.dialect(),
        }
    }
}

/// Decides on a request line. `target` is as the client wrote it: nothing is decoded, resolved or
/// folded, so that what is matched here is what the upstream would read.
pub fn call(method: &Method, target: &[u8], headers: &HeaderMap) -> Result<Call, Refusal> {
    let (path, query) = split(target)?;
    if let Some(endpoint) = Endpoint::of_path(path) {
        allow(method, &[Method::POST])?;
        return Ok(Call::Infer { endpoint, query: inference_query(endpoint, query)? });
    }
    let anthropic = headers.contains_key(ANTHROPIC_VERSION);
    let Some((answer, methods)) = Answer::of_path(path, anthropic) else {
        let message = format!("the sandbox may not call {}", quoted(path));
        return Err(Refusal::new(Kind::Route, message));
    };
    allow(method, methods)?;
    // The query of an answer of ours goes nowhere: pagination of a list that is one page.
    Ok(Call::Answer(answer))
}

/// Path and query, of bytes that can mean one thing only.
fn split(target: &[u8]) -> Result<(&str, Option<&str>), Refusal> {
    let malformed = |message| Refusal::new(Kind::Malformed, message);
    if target.len() > MAX_TARGET_BYTES {
        return Err(malformed("the request target is too long"));
    }
    if !target.starts_with(b"/") {
        return Err(malformed("the request target must begin with /"));
    }
    let target = std::str::from_utf8(target)
        .ok()
        .filter(|target| target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'))
        .ok_or_else(|| malformed("the request target has bytes that no URL has"))?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._:@".contains(&byte);
    if !path.bytes().all(plain) {
        return Err(malformed("the path has escapes or signs that no call needs"));
    }
    let crooked =
        path.len() > 1 && path[1..].split('/').any(|part| ["", ".", ".."].contains(&part));
    if crooked {
        return Err(malformed("the path is not in its canonical form"));
    }
    Ok((path, query))
}

fn allow(method: &Method, methods: &[Method]) -> Result<(), Refusal> {
    if methods.contains(method) {
        return Ok(());
    }
    let message = format!("{} is not allowed here", quoted(method.as_str()));
    Err(Refusal::new(Kind::Method, message))
}

/// An unknown query is refused, not dropped: its sender believes that it means something.
fn inference_query(
    endpoint: Endpoint,
    query: Option<&str>,
) -> Result<Option<&'static str>, Refusal> {
    match query {
        None | Some("") => Ok(None),
        Some(BETA) if endpoint.dialect() == Dialect::Anthropic => Ok(Some(BETA)),
        Some(_) => Err(Refusal::new(Kind::Malformed, "the query is not supported on this path")),
    }
}

fn is_model_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_MODEL_ID_BYTES
}

#[cfg(test)]
mod tests;
