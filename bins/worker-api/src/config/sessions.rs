//! How long things may take and how many there may be.

use contracts::{Faults, ImageRef, code::Language};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// A hundred years: what somebody means by never, and a date that can be told.
const LONGEST_SECONDS: u64 = 100 * 365 * 24 * 3600;

fn check_span(named: &[(&str, u64)], faults: &mut Faults) {
    for (name, seconds) in named {
        let most = format!("must be at most {LONGEST_SECONDS} seconds");
        faults.require(*seconds <= LONGEST_SECONDS, name, most);
    }
}

/// The image with a toolchain of every language that needs one, but Java.
const POLYGLOT: &str = "localhost/pinfold/polyglot:latest";

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Jobs")]
pub struct JobTimes {
    /// Time limit of a job that asks for none, in seconds.
    #[arg(long, env = "DEFAULT_TIMEOUT_SECONDS", default_value_t = 3600)]
    pub default_timeout_seconds: u64,

    /// Longest time limit that a job gets, whatever it asks for, in seconds.
    #[arg(long, env = "MAX_TIMEOUT_SECONDS", default_value_t = 10800)]
    pub max_timeout_seconds: u64,

    /// Jobs that run at a time.
    #[arg(long, env = "MAX_RUNNING", default_value_t = 16)]
    pub max_running: usize,

    /// Jobs that wait beyond these; one more is turned away with 503.
    #[arg(long, env = "MAX_QUEUED", default_value_t = 256)]
    pub max_queued: usize,

    /// Between TERM and KILL at a deadline, in milliseconds.
    #[arg(long, env = "TERM_GRACE_MS", default_value_t = 500)]
    pub term_grace_ms: u64,

    /// Between TERM and KILL when a caller stops a job, in seconds.
    #[arg(long, env = "STOP_GRACE_SECONDS", default_value_t = 30)]
    pub stop_grace_seconds: u64,

    /// How long an ended job can be read, in seconds.
    #[arg(long, env = "RETENTION_SECONDS", default_value_t = 86400)]
    pub retention_seconds: u64,

    /// Most ended jobs and sessions that can be read. The oldest go first, whatever their age.
    #[arg(long, env = "RETENTION_MAX_COUNT", default_value_t = 100_000)]
    pub retention_max_count: u64,

    /// What they may take with their artifacts, in bytes. The oldest go first, whatever their age.
    #[arg(long, env = "RETENTION_MAX_BYTES", default_value_t = 8 << 30)]
    pub retention_max_bytes: u64,
}

impl JobTimes {
    pub(super) fn check(&self, faults: &mut Faults) {
        let at_least_one = [
            ("DEFAULT_TIMEOUT_SECONDS", self.default_timeout_seconds),
            ("MAX_TIMEOUT_SECONDS", self.max_timeout_seconds),
            ("MAX_RUNNING", self.max_running as u64),
            ("RETENTION_MAX_COUNT", self.retention_max_count),
        ];
        for (name, value) in at_least_one {
            faults.require(value >= 1, name, "must be at least 1");
        }
        let seconds = [
            ("DEFAULT_TIMEOUT_SECONDS", self.default_timeout_seconds),
            ("MAX_TIMEOUT_SECONDS", self.max_timeout_seconds),
            ("TERM_GRACE_MS", self.term_grace_ms / 1000),
            ("STOP_GRACE_SECONDS", self.stop_grace_seconds),
            ("RETENTION_SECONDS", self.retention_seconds),
        ];
        check_span(&seconds, faults);
    }
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sessions")]
pub struct SessionTimes {
    /// Sessions that are open at a time.
    #[arg(long, env = "SESSION_MAX", default_value_t = 256)]
    pub session_max: usize,

    /// A session without a running command ends after so long, in seconds, unless it asks for less.
    #[arg(long, env = "SESSION_IDLE_SECONDS", default_value_t = 1800)]
    pub session_idle_seconds: u64,

    /// Longest life of a session, in seconds.
    #[arg(long, env = "SESSION_LIFETIME_SECONDS", default_value_t = 86400)]
    pub session_lifetime_seconds: u64,

    /// A session in which nothing was asked for so long stands still until it is, in seconds; 0 for never.
    #[arg(long, env = "SESSION_FREEZE_AFTER_SECONDS", default_value_t = 300)]
    pub session_freeze_after_seconds: u64,

    /// The image of Python code in sessions.
    #[arg(long, env = "SESSION_IMAGE_PYTHON", default_value = "localhost/pinfold/python:latest")]
    session_image_python: String,

    /// The image of JavaScript and TypeScript code in sessions.
    #[arg(long, env = "SESSION_IMAGE_NODE", default_value = "localhost/pinfold/node:latest")]
    session_image_node: String,

    /// The image of shell code in sessions.
    #[arg(long, env = "SESSION_IMAGE_BASH", default_value = "localhost/pinfold/base:latest")]
    session_image_bash: String,

    /// The image of Go code in sessions.
    #[arg(long, env = "SESSION_IMAGE_GO", default_value = POLYGLOT)]
    session_image_go: String,

    /// The image of C++ code in sessions.
    #[arg(long, env = "SESSION_IMAGE_CPP", default_value = POLYGLOT)]
    session_image_cpp: String,

    /// The image of Java code in sessions.
    #[arg(long, env = "SESSION_IMAGE_JAVA", default_value = "localhost/pinfold/java:latest")]
    session_image_java: String,

    /// The image of Ruby code in sessions.
    #[arg(long, env = "SESSION_IMAGE_RUBY", default_value = POLYGLOT)]
    session_image_ruby: String,

    /// The image of R code in sessions.
    #[arg(long, env = "SESSION_IMAGE_R", default_value = POLYGLOT)]
    session_image_r: String,

    /// The image of Rust code in sessions.
    #[arg(long, env = "SESSION_IMAGE_RUST", default_value = POLYGLOT)]
    session_image_rust: String,

    /// Time limit of code in a session that asks for none, in seconds.
    #[arg(long, env = "SESSION_CODE_SECONDS", default_value_t = 300)]
    pub session_code_seconds: u64,

    /// Let programs on this host use `/sessions` and `/execute` without a token. Refused beyond loopback.
    #[arg(long, env = "SESSIONS_WITHOUT_TOKEN")]
    pub sessions_without_token: bool,
}

impl SessionTimes {
    pub(super) fn check(&self, listen: SocketAddr, faults: &mut Faults) {
        faults.require(
            !self.sessions_without_token || listen.ip().is_loopback(),
            "SESSIONS_WITHOUT_TOKEN",
            "is only for a LISTEN_ADDR on loopback",
        );
        let seconds = [
            ("SESSION_IDLE_SECONDS", self.session_idle_seconds),
            ("SESSION_LIFETIME_SECONDS", self.session_lifetime_seconds),
            ("SESSION_FREEZE_AFTER_SECONDS", self.session_freeze_after_seconds),
            ("SESSION_CODE_SECONDS", self.session_code_seconds),
        ];
        check_span(&seconds, faults);
        faults.require(
            self.session_code_seconds >= 1,
            "SESSION_CODE_SECONDS",
            "must be at least 1",
        );
    }

    pub(super) fn freeze_after(&self) -> Option<Duration> {
        let seconds = self.session_freeze_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// Where code of each language runs.
    pub(super) fn images(&self, faults: &mut Faults) -> BTreeMap<Language, ImageRef> {
        let by_language = [
            (Language::Python, "SESSION_IMAGE_PYTHON", &self.session_image_python),
            (Language::JavaScript, "SESSION_IMAGE_NODE", &self.session_image_node),
            (Language::TypeScript, "SESSION_IMAGE_NODE", &self.session_image_node),
            (Language::Bash, "SESSION_IMAGE_BASH", &self.session_image_bash),
            (Language::Go, "SESSION_IMAGE_GO", &self.session_image_go),
            (Language::Cpp, "SESSION_IMAGE_CPP", &self.session_image_cpp),
            (Language::Java, "SESSION_IMAGE_JAVA", &self.session_image_java),
            (Language::Ruby, "SESSION_IMAGE_RUBY", &self.session_image_ruby),
            (Language::R, "SESSION_IMAGE_R", &self.session_image_r),
            (Language::Rust, "SESSION_IMAGE_RUST", &self.session_image_rust),
        ];
        let mut images = BTreeMap::new();
        for (language, name, image) in by_language {
            match ImageRef::new(image.as_str()) {
                Ok(image) => drop(images.insert(language, image)),
                Err(error) => faults.add(name, error.to_string()),
            }
        }
        images
    }
}
