//! What code inside a sandbox finds, and how a sandbox is described to the node.

use crate::{
    Faults, ImageRef, Version,
    egress::{EgressSpec, RuleSpec},
    file::InputFile,
    inference::InferenceSpec,
    limits::LimitsRequest,
    packages::{Registries, Registry},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The names that the node sets and that no caller can set or change.
pub mod env {
    pub const TASK_ID: &str = "CYNODE_TASK_ID";
    pub const JOB_ID: &str = "CYNODE_JOB_ID";
    pub const SESSION_ID: &str = "CYNODE_SESSION_ID";
    pub const WORKSPACE_DIR: &str = "CYNODE_WORKSPACE_DIR";
    pub const ARTIFACTS_DIR: &str = "CYNODE_ARTIFACTS_DIR";
    /// Where the text is that tells the code's author what this sandbox can do.
    pub const HELP: &str = "PINFOLD_HELP";
    pub const RESERVED: [&str; 6] =
        [TASK_ID, JOB_ID, SESSION_ID, WORKSPACE_DIR, ARTIFACTS_DIR, HELP];

    /// What unmodified clients of the three dialects look for. The keys open nothing: the clients
    /// refuse to start without one.
    pub const INFERENCE: [(&str, &str); 9] = [
        ("OLLAMA_BASE_URL", "http://localhost:11434"),
        ("OLLAMA_HOST", "http://localhost:11434"),
        ("INFERENCE_PROXY_URL", "http+unix://%2Frun%2Fpinfold%2Finference%2Fproxy.sock"),
        ("OPENAI_BASE_URL", "http://localhost:11434/v1"),
        ("OPENAI_API_BASE", "http://localhost:11434/v1"),
        ("OPENAI_API_KEY", "none-needed"),
        ("ANTHROPIC_BASE_URL", "http://localhost:11434"),
        ("ANTHROPIC_API_KEY", "none-needed"),
        ("OLLAMA_API_KEY", "none-needed"),
    ];

    /// Where programs look for authorities to believe: in one file that is all there is for them, or
    /// in one that comes beside their own.
    pub const TRUST: [(&str, &str); 13] = [
        ("SSL_CERT_FILE", super::path::TLS_BUNDLE),
        ("REQUESTS_CA_BUNDLE", super::path::TLS_BUNDLE),
        ("CURL_CA_BUNDLE", super::path::TLS_BUNDLE),
        ("GIT_SSL_CAINFO", super::path::TLS_BUNDLE),
        ("AWS_CA_BUNDLE", super::path::TLS_BUNDLE),
        ("PIP_CERT", super::path::TLS_BUNDLE),
        ("CARGO_HTTP_CAINFO", super::path::TLS_BUNDLE),
        ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", super::path::TLS_BUNDLE),
        ("HTTPLIB2_CA_CERTS", super::path::TLS_BUNDLE),
        ("BUNDLE_SSL_CA_CERT", super::path::TLS_BUNDLE),
        ("NIX_SSL_CERT_FILE", super::path::TLS_BUNDLE),
        ("NODE_EXTRA_CA_CERTS", super::path::TLS_AUTHORITY),
        ("DENO_CERT", super::path::TLS_AUTHORITY),
    ];
    /// Where clients look for a proxy, in both cases: some know only the one. Every name on the
    /// loopback is the sandbox's own.
    pub const EGRESS: [(&str, &str); 8] = [
        ("HTTP_PROXY", PROXY_URL),
        ("http_proxy", PROXY_URL),
        ("HTTPS_PROXY", PROXY_URL),
        ("https_proxy", PROXY_URL),
        ("ALL_PROXY", PROXY_URL),
        ("all_proxy", PROXY_URL),
        ("NO_PROXY", NO_PROXY),
        ("no_proxy", NO_PROXY),
    ];
    /// Where package clients look for a registry. The gate keeps to what installing needs, so what
    /// else they would ask is turned off.
    pub const PYPI: [(&str, &str); 3] = [
        ("PIP_INDEX_URL", "http://127.0.0.1:11434/packages/pypi/simple/"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("UV_DEFAULT_INDEX", "http://127.0.0.1:11434/packages/pypi/simple/"),
    ];
    pub const NPM: [(&str, &str); 4] = [
        ("NPM_CONFIG_REGISTRY", "http://127.0.0.1:11434/packages/npm/"),
        ("NPM_CONFIG_AUDIT", "false"),
        ("NPM_CONFIG_FUND", "false"),
        ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
    ];
    const PROXY_URL: &str = "http://127.0.0.1:11434";
    const NO_PROXY: &str = "localhost,127.0.0.1,::1";
}

/// Where things are inside every sandbox.
pub mod path {
    pub const WORKSPACE: &str = "/workspace";
    pub const JOB: &str = "/job";
    pub const ARTIFACTS: &str = "/job/artifacts";
    pub const TMP: &str = "/tmp";
    /// The folder with the agent's socket: mounted read-only, and without a socket while the link is up.
    pub const LINK_DIR: &str = "/run/pinfold/link";
    pub const LINK_SOCKET: &str = "link.sock";
    /// The agent's own binary, mounted read-only: PID 1.
    pub const AGENT: &str = "/run/pinfold/agent";
    /// What is reachable and how, for whoever writes the code: mounted read-only.
    pub const HELP: &str = "/run/pinfold/HELP.txt";
    /// Where the inference proxy listens, beside the loopback's port. Only with inference.
    pub const INFERENCE_DIR: &str = "/run/pinfold/inference";
    pub const INFERENCE_SOCKET: &str = "proxy.sock";
    /// Whom to believe about `INFERENCE_HOST`: the sandbox's own authority alone, and with the node's.
    pub const TLS_DIR: &str = "/run/pinfold/tls";
    pub const TLS_AUTHORITY: &str = "/run/pinfold/tls/ca.pem";
    pub const TLS_BUNDLE: &str = "/run/pinfold/tls/bundle.pem";
}

/// The name of inference by HTTPS. It resolves to loopback in sandboxes with inference, and nowhere
/// else.
pub const INFERENCE_HOST: &str = "inference.local";

/// Labels on containers. The first two are part of the callers' contract.
pub mod label {
    pub const TASK_ID: &str = "cynodeai.task_id";
    pub const JOB_ID: &str = "cynodeai.job_id";
    pub const SESSION_ID: &str = "cynodeai.session_id";
    /// The sandbox's own id.
    pub const SANDBOX: &str = "io.pinfold.sandbox";
    /// The node that made it: a sweep touches its own containers only.
    pub const NODE: &str = "io.pinfold.node";
    /// On a sidecar, the sandbox that it serves.
    pub const SIDECAR_OF: &str = "io.pinfold.sidecar-of";
}

/// Most entries of one request's `env`, and the bytes that they may hold together: the kernel
/// refuses an environment that is much larger, and the refusal would look like the program's.
pub const MAX_ENV_ENTRIES: usize = 1024;
pub const MAX_ENV_BYTES: usize = 256 << 10;
/// Most arguments and bytes of a command, below the kernel's own limit on one `execve`.
pub const MAX_ARGS: usize = 4096;
pub const MAX_ARG_BYTES: usize = 512 << 10;
/// Most input files in one request, and most artifact globs.
pub const MAX_INPUT_FILES: usize = 1024;
pub const MAX_ARTIFACT_GLOBS: usize = 64;

/// Whether a sandbox may reach anything at all. Every value the node doesn't know means no network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkPolicy {
    #[default]
    None,
    /// Only what egress rules allow; without rules, nothing.
    Restricted,
}

impl<'de> Deserialize<'de> for NetworkPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(match text.as_deref() {
            Some("restricted") => Self::Restricted,
            _ => Self::None,
        })
    }
}

/// The sandbox part of a job's or session's request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    pub network_policy: NetworkPolicy,
    /// What may be fetched. Only with `network_policy` `restricted`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<RuleSpec>,
    /// Rules of the node's own, by their name; they and `egress` add up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_policy: Option<String>,
    /// Registries that packages may be installed from, through the node's cache. Only with
    /// `network_policy` `restricted`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Registry>,
    pub use_inference: bool,
    /// Which models, and how much of them. Only with `use_inference`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_spec_json: Option<String>,
    pub limits: LimitsRequest,
    /// Bytes given to the program's standard input before it is closed. With `stdin_open` they come first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Keep standard input open for `…/stdin`. Otherwise the program reads end-of-file.
    pub stdin_open: bool,
    pub files: Vec<InputFile>,
    /// A tar that was uploaded before, unpacked beneath the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// Globs beneath the workspace; what matches at the end is kept, besides `$CYNODE_ARTIFACTS_DIR`.
    pub artifacts: Vec<String>,
}

impl SandboxSpec {
    /// Whether anything at all may be fetched.
    pub fn has_egress(&self) -> bool {
        !self.egress.is_empty() || self.egress_policy.is_some() || !self.packages.is_empty()
    }

    pub fn registries(&self) -> Registries {
        self.packages.iter().copied().collect()
    }

    /// What may be fetched, as its own document.
    pub fn egress_spec(&self) -> EgressSpec {
        let (egress, egress_policy) = (self.egress.clone(), self.egress_policy.clone());
        EgressSpec { version: Version, egress, egress_policy }
    }

    /// Checks all that can be known without a node's configuration.
    pub fn validate(&self, faults: &mut Faults) {
        if self.command.is_empty() && self.job_spec_json.is_none() {
            faults.add("sandbox.command", "must not be empty");
        }
        check_command("sandbox.command", &self.command, faults);
        check_env("sandbox.env", &self.env, faults);
        if self.timeout_seconds == Some(0) {
            faults.add("sandbox.timeout_seconds", "must be at least 1");
        }
        let is_restricted = self.network_policy == NetworkPolicy::Restricted;
        for (field, is_there) in [
            ("sandbox.egress", !self.egress.is_empty()),
            ("sandbox.egress_policy", self.egress_policy.is_some()),
            ("sandbox.packages", !self.packages.is_empty()),
        ] {
            let message = "needs network_policy \"restricted\"";
            faults.require(is_restricted || !is_there, field, message);
        }
        if let Some(inference) = &self.inference {
            let message = "needs use_inference";
            faults.require(self.use_inference, "sandbox.inference", message);
            inference.validate(faults);
        }
        if let Some(text) = &self.job_spec_json {
            let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
            faults.require(parsed.is_ok(), "sandbox.job_spec_json", "is not JSON text");
        }
        faults.require(
            self.files.len() <= MAX_INPUT_FILES,
            "sandbox.files",
            "holds too many files",
        );
        for (index, file) in self.files.iter().enumerate() {
            file.validate(&format!("sandbox.files[{index}]"), faults);
        }
        faults.require(
            self.artifacts.len() <= MAX_ARTIFACT_GLOBS,
            "sandbox.artifacts",
            "holds too many globs",
        );
        for (index, glob) in self.artifacts.iter().enumerate() {
            if let Err(message) = crate::file::check_path(glob) {
                faults.add(format!("sandbox.artifacts[{index}]"), message);
            }
        }
    }
}

/// An argument vector that `execve` can take. An empty one is the caller's to judge.
pub fn check_command(field: &str, command: &[String], faults: &mut Faults) {
    faults.require(command.len() <= MAX_ARGS, field, format!("has more than {MAX_ARGS} arguments"));
    let bytes: usize = command.iter().map(|arg| arg.len() + 1).sum();
    faults.require(bytes <= MAX_ARG_BYTES, field, format!("is longer than {MAX_ARG_BYTES} bytes"));
    if command.iter().any(|arg| arg.contains('\0')) {
        faults.add(field, "must not hold NUL");
    }
    if command.first().is_some_and(String::is_empty) {
        faults.add(field, "must name a program");
    }
}

/// An environment that a process can hold. Reserved names pass here and are overruled by the node:
/// callers send them in good faith, and the node's value wins.
pub fn check_env(field: &str, env: &BTreeMap<String, String>, faults: &mut Faults) {
    faults.require(env.len() <= MAX_ENV_ENTRIES, field, "has too many entries");
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    faults.require(bytes <= MAX_ENV_BYTES, field, format!("is longer than {MAX_ENV_BYTES} bytes"));
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.add(field, format!("{name:?} is not a variable's name"));
        }
        if value.contains('\0') {
            faults.add(format!("{field}.{name}"), "must not hold NUL");
        }
    }
}
