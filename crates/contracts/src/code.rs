//! Code in a session, as its callers send it: the drop-in API of a session server, and what it adds.
//!
//! What a caller of the plain API does not ask for is not in its answer either: `stdout`, `stderr`
//! and `exit_code`, and more only where there is more to say.

use crate::{
    CellId, Faults, SessionId, TemplateName,
    job::{Reason, Status},
    link::kernel::{MAX_CODE_BYTES, MAX_STDIN_BYTES},
    sandbox::check_env,
    session::SessionState,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Longest name of a context within a session.
const MAX_CONTEXT_BYTES: usize = 64;

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    #[serde(alias = "python3", alias = "py", alias = "Python")]
    Python,
    #[serde(alias = "js", alias = "node", alias = "JavaScript")]
    JavaScript,
    #[serde(alias = "ts", alias = "TypeScript")]
    TypeScript,
    #[serde(alias = "sh", alias = "shell")]
    Bash,
    #[serde(alias = "golang", alias = "Go")]
    Go,
    #[serde(alias = "c++", alias = "C++")]
    Cpp,
    #[serde(alias = "Java")]
    Java,
    #[serde(alias = "rb", alias = "Ruby")]
    Ruby,
    #[serde(alias = "R")]
    R,
    #[serde(alias = "rs", alias = "Rust")]
    Rust,
}

impl Language {
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Bash => "bash",
            Self::Go => "go",
            Self::Cpp => "cpp",
            Self::Java => "java",
            Self::Ruby => "ruby",
            Self::R => "r",
            Self::Rust => "rust",
        }
    }
}

/// `POST /sessions`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenRequest {
    /// Absent: the template's, or Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
    /// What the node made ready under this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateName>,
    /// Of the API that this one stands in for; an image here always stays.
    pub keep_template: bool,
    #[serde(deserialize_with = "list_or_null")]
    pub libraries: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub lifetime_seconds: Option<u64>,
    pub idle_seconds: Option<u64>,
    /// Work that goes on between two pieces of code counts as activity, and is never frozen.
    pub background: bool,
}

impl OpenRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        check_env("env", &self.env, &mut faults);
        faults.into_result()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenResponse {
    pub session_id: SessionId,
    pub status: SessionState,
}

/// `POST /sessions/{id}/execute`, and with `lang` and `keep_template` `POST /execute`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecuteRequest {
    pub code: String,
    /// Absent: the session's own.
    pub lang: Option<Language>,
    /// Of `POST /execute` alone: what the node made ready under this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateName>,
    pub keep_template: bool,
    #[serde(deserialize_with = "list_or_null")]
    pub libraries: Vec<String>,
    /// Adds the value of the last expression, what was displayed, and the error in parts.
    pub rich: bool,
    pub timeout_seconds: Option<u64>,
    /// Answer with events while it runs.
    pub stream: bool,
    /// One of several interpreters of the same language in the session.
    pub context: Option<String>,
    /// The caller's own name for it: the same one again joins it, or returns its result.
    pub cell_id: Option<CellId>,
    /// Set in the interpreter from here on.
    pub env: BTreeMap<String, String>,
    /// What the code reads from standard input. With `stdin_open` it comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Keep standard input open for `…/stdin`, and tell by an event when the code asks. Otherwise it
    /// ends behind `stdin`.
    pub stdin_open: bool,
}

/// `POST /sessions/{id}/cells/{cell_id}/stdin`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CellInput {
    /// A line: its end is added, unless it is there or `eof` comes instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Nothing comes behind it.
    pub eof: bool,
}

impl CellInput {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        faults.require(self.text.is_some() || self.eof, "text", "is required, or `eof`");
        faults.into_result()
    }

    /// The bytes that the code reads.
    pub fn into_bytes(self) -> Vec<u8> {
        let Some(mut text) = self.text else { return Vec::new() };
        if !self.eof && !text.ends_with('\n') {
            text.push('\n');
        }
        text.into_bytes()
    }
}

impl ExecuteRequest {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let most = format!("is longer than {MAX_CODE_BYTES} bytes");
        faults.require(self.code.len() <= MAX_CODE_BYTES, "code", most);
        faults.require(!self.code.contains('\0'), "code", "must not hold NUL");
        faults.require(self.timeout_seconds != Some(0), "timeout_seconds", "must be at least 1");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let named = self.context.as_ref().is_none_or(|context| {
            (1..=MAX_CONTEXT_BYTES).contains(&context.len()) && context.bytes().all(plain)
        });
        faults.require(named, "context", "must be 1 to 64 letters, digits, `-` and `_`");
        check_env("env", &self.env, &mut faults);
        let given = self.stdin.as_ref().map_or(0, String::len) as u64;
        let most = format!("is longer than {MAX_STDIN_BYTES} bytes");
        faults.require(given <= MAX_STDIN_BYTES, "stdin", most);
        let reachable = !self.stdin_open || self.stream || self.cell_id.is_some();
        faults.require(reachable, "stdin_open", "needs `stream` or a `cell_id` to be answered by");
        faults.into_result()
    }
}

/// What became of a piece of code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecuteResponse {
    pub stdout: String,
    pub stderr: String,
    pub exit_code: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell_id: Option<CellId>,
    /// Absent where the exit code says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For a person: what happened to the interpreter or to the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What became of the interpreter and so of the state, unless it simply is there as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelNews>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Cut>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<Bundle>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CodeError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelNews {
    /// It took the place of one that died: variables of before are gone.
    Fresh,
    /// It died, and its variables with it; the next code gets a new one.
    Died,
}

/// What was left out because it was too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    pub stdout: bool,
    pub stderr: bool,
    pub results: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BundleKind {
    /// The value of the last expression.
    Result,
    /// Displayed on the way, or a figure that was drawn.
    Display,
}

/// A value in several forms, by MIME type, as Jupyter has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    pub kind: BundleKind,
    pub data: BTreeMap<String, Value>,
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
}

/// An error that the code raised and did not catch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeError {
    pub name: String,
    pub value: String,
    pub traceback: Vec<String>,
}

/// What a driver says beside the standard streams. Its bytes are as untrusted as the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Rich {
    Result {
        data: BTreeMap<String, Value>,
        #[serde(default)]
        metadata: BTreeMap<String, Value>,
    },
    Display {
        data: BTreeMap<String, Value>,
        #[serde(default)]
        metadata: BTreeMap<String, Value>,
    },
    Error(CodeError),
    /// The code waits for a line. Not a result: it is told to whoever follows the events.
    Stdin {
        #[serde(default)]
        prompt: String,
        /// What is typed shall not be seen.
        #[serde(default)]
        hidden: bool,
    },
}

/// `GET /sessions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenSessions {
    pub sessions: Vec<OpenSession>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenSession {
    pub session_id: SessionId,
    pub status: SessionState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// `POST /sessions/{id}/interrupt` and `…/restart`: which interpreter, if not the session's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KernelRequest {
    pub lang: Option<Language>,
    pub context: Option<String>,
}

fn list_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
