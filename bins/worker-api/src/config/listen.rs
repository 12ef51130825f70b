//! Where the node listens, who may ask, how much, and what it writes down of it.

use contracts::{Faults, Hidden};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "HTTP")]
pub struct Listen {
    /// Address and port of the API. There is no TLS here: beyond loopback, put a proxy before it.
    #[arg(long, env = "LISTEN_ADDR", default_value = "127.0.0.1:9190")]
    pub listen_addr: SocketAddr,

    /// The token that callers must send as `Authorization: Bearer …`. Required, here or as a file.
    #[arg(long, env = "WORKER_API_BEARER_TOKEN", hide_env_values = true)]
    worker_api_bearer_token: Option<Hidden>,

    /// A file that holds the token, instead of the variable.
    #[arg(long, env = "WORKER_API_BEARER_TOKEN_FILE")]
    worker_api_bearer_token_file: Option<PathBuf>,

    /// Largest request body, in bytes.
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 10 << 20)]
    pub max_body_bytes: u64,

    /// Largest tar of input files, in bytes.
    #[arg(long, env = "MAX_UPLOAD_BYTES", default_value_t = 64 << 20)]
    pub max_upload_bytes: u64,

    /// Connections at a time.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 1024)]
    pub max_connections: usize,

    /// Between two heartbeats on a stream of events, in seconds.
    #[arg(long, env = "HEARTBEAT_SECONDS", default_value_t = 15)]
    pub heartbeat_seconds: u64,

    /// A connection ends when its caller takes nothing of an answer for so long, in seconds.
    #[arg(long, env = "WRITE_WAIT_SECONDS", default_value_t = 60)]
    pub write_wait_seconds: u64,

    /// How long running jobs may go on after the first signal to stop, in seconds. What runs longer
    /// is left to the next start, which adopts it.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 30)]
    pub drain_seconds: u64,

    /// The node's name in its telemetry.
    #[arg(long, env = "NODE_SLUG", default_value = "pinfold")]
    pub node_slug: String,
}

impl Listen {
    pub(super) fn token(&self, faults: &mut Faults) -> Option<String> {
        const NAME: &str = "WORKER_API_BEARER_TOKEN";
        let (value, file) = (&self.worker_api_bearer_token, &self.worker_api_bearer_token_file);
        if value.is_none() && file.is_none() {
            faults.add(NAME, "is required: there is no access without it");
            return None;
        }
        token(NAME, value.as_ref(), file.as_deref(), faults)
    }
}

/// A token that is given as a value or as a file; as both, it would be anybody's guess.
pub(super) fn token(
    name: &str,
    value: Option<&Hidden>,
    file: Option<&Path>,
    faults: &mut Faults,
) -> Option<String> {
    let token = match (value, file) {
        (Some(token), None) => token.reveal().to_owned(),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(token) => token.trim_end().to_owned(),
            Err(error) => {
                faults.add(format!("{name}_FILE"), format!("can't be read: {error}"));
                return None;
            }
        },
        (None, None) => return None,
        (Some(_), Some(_)) => {
            faults.add(name, "is given twice, as a value and as a file");
            return None;
        }
    };
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    faults.require(usable, name, "must be printable ASCII without spaces, and not empty");
    Some(token)
}

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct Log {
    /// How log lines are written to standard error.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Which lines are written, as in `info,executor=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}
