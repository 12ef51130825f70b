//! The proxy's configuration. Every field is a flag and a variable.

use crate::Passage;
use relay::{Location, ServeLimits, Timeouts, Trust, Upstream, request::Forms};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Ollama's own, where its clients look.
const USUAL_PORT: u16 = 11434;

/// Relays inference calls from a container's loopback to one upstream. Holds no key.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "inference-proxy", version, about, max_term_width = 100)]
pub struct Config {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address and port to listen on. 127.0.0.1:11434, unless there is a socket to listen on.
    #[arg(long, env = "INFERENCE_PROXY_LISTEN")]
    inference_proxy_listen: Option<SocketAddr>,

    /// A unix socket to listen on: alone, or beside an address that is given.
    #[arg(long, env = "INFERENCE_PROXY_SOCKET")]
    inference_proxy_socket: Option<PathBuf>,

    /// Where calls go: `http://…`, `https://…` or `unix:///path`.
    #[arg(
        long,
        env = "OLLAMA_UPSTREAM_URL",
        default_value = "http://host.containers.internal:11434"
    )]
    ollama_upstream_url: String,

    /// Address and port where TLS is taken and passed on as it is. Needs INFERENCE_PROXY_TLS_UPSTREAM.
    #[arg(long, env = "INFERENCE_PROXY_TLS_LISTEN")]
    inference_proxy_tls_listen: Option<SocketAddr>,

    /// Who ends that TLS: `unix:///path`.
    #[arg(long, env = "INFERENCE_PROXY_TLS_UPSTREAM")]
    inference_proxy_tls_upstream: Option<String>,

    /// Address and port where DNS is answered, over UDP: the upstream is asked, as RFC 8484 has it, at /dns-query.
    #[arg(long, env = "INFERENCE_PROXY_DNS_LISTEN")]
    inference_proxy_dns_listen: Option<SocketAddr>,

    /// A PEM file of authorities to believe beside the machine's, for an upstream with TLS.
    #[arg(long, env = "INFERENCE_PROXY_CA_FILE")]
    inference_proxy_ca_file: Option<PathBuf>,

    /// Largest request body, in bytes; a larger one is answered with 413.
    #[arg(long, env = "INFERENCE_PROXY_MAX_BODY_BYTES", default_value_t = 10 << 20)]
    inference_proxy_max_body_bytes: u64,

    /// Connections at a time; more of them wait.
    #[arg(long, env = "INFERENCE_PROXY_MAX_CONNECTIONS", default_value_t = 256)]
    inference_proxy_max_connections: usize,

    /// Be a forward proxy too: hand CONNECT and absolute-form requests on to the upstream, which must be one itself and decides where they may go. Otherwise they are refused.
    #[arg(long, env = "INFERENCE_PROXY_FORWARD")]
    inference_proxy_forward: bool,

    /// For reaching the upstream, in milliseconds.
    #[arg(long, env = "INFERENCE_PROXY_CONNECT_MS", default_value_t = 5_000)]
    inference_proxy_connect_ms: u64,

    /// For a request's body to arrive, in milliseconds.
    #[arg(long, env = "INFERENCE_PROXY_REQUEST_BODY_MS", default_value_t = 60_000)]
    inference_proxy_request_body_ms: u64,

    /// For the upstream to begin its answer, in milliseconds.
    #[arg(long, env = "INFERENCE_PROXY_FIRST_BYTE_MS", default_value_t = 120_000)]
    inference_proxy_first_byte_ms: u64,

    /// For silence within an answer, on either side, in milliseconds.
    #[arg(long, env = "INFERENCE_PROXY_IDLE_MS", default_value_t = 120_000)]
    inference_proxy_idle_ms: u64,

    /// For a whole answer that is not a stream, in milliseconds. None, unless it is given.
    #[arg(long, env = "INFERENCE_PROXY_TOTAL_MS")]
    inference_proxy_total_ms: Option<u64>,

    /// For answers under way to end after the signal to stop, in milliseconds.
    #[arg(long, env = "INFERENCE_PROXY_DRAIN_MS", default_value_t = 10_000)]
    inference_proxy_drain_ms: u64,

    /// Write no file from the start on: the limit on their size becomes 0, also for what runs in its place. Whoever sends its log into a file leaves this off.
    #[arg(long, env = "INFERENCE_PROXY_NO_FILES")]
    pub inference_proxy_no_files: bool,

    #[command(flatten)]
    pub log: Log,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Ask the proxy that listens here how it is, and exit with 0 if it is well.
    Healthcheck,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Log {
    /// How log lines are written to standard error.
    #[arg(long, env = "LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// The least important lines that are written: `error`, `warn`, `info`, `debug` or `trace`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: tracing::Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Where the proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Address(SocketAddr),
    Socket(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

/// A configuration whose faults are all out.
pub struct Checked {
    /// At least one.
    pub places: Vec<Place>,
    pub upstream: Upstream,
    pub passage: Option<Passage>,
    pub dns_listen: Option<SocketAddr>,
    pub max_body_bytes: u64,
    /// For silence in a tunnel.
    pub idle: Duration,
    pub limits: ServeLimits,
}

impl Config {
    /// Looks at everything, and tells all that is wrong at once, by the variables' names.
    pub fn checked(self) -> Result<Checked, Vec<String>> {
        let mut faults = Vec::new();
        for (name, value) in [
            ("INFERENCE_PROXY_CONNECT_MS", self.inference_proxy_connect_ms),
            ("INFERENCE_PROXY_REQUEST_BODY_MS", self.inference_proxy_request_body_ms),
            ("INFERENCE_PROXY_FIRST_BYTE_MS", self.inference_proxy_first_byte_ms),
            ("INFERENCE_PROXY_IDLE_MS", self.inference_proxy_idle_ms),
            ("INFERENCE_PROXY_TOTAL_MS", self.inference_proxy_total_ms.unwrap_or(1)),
            ("INFERENCE_PROXY_MAX_CONNECTIONS", self.inference_proxy_max_connections as u64),
        ] {
            // The runtime's clocks and counters end somewhere beyond this.
            if !(1..=u64::from(u32::MAX)).contains(&value) {
                faults.push(format!("{name}: must be between 1 and {}", u32::MAX));
            }
        }
        let passage = self.passage().map_err(|fault| faults.push(fault)).ok().flatten();
        let upstream = self.upstream().map_err(|fault| faults.push(fault)).ok();
        let limits = ServeLimits {
            connections: self.inference_proxy_max_connections,
            unread: Duration::from_millis(self.inference_proxy_idle_ms),
            drain: Duration::from_millis(self.inference_proxy_drain_ms),
            forms: if self.inference_proxy_forward { Forms::Forwarded } else { Forms::Own },
            ..ServeLimits::default()
        };
        match upstream {
            Some(upstream) if faults.is_empty() => Ok(Checked {
                places: places(self.inference_proxy_listen, self.inference_proxy_socket),
                upstream,
                passage,
                dns_listen: self.inference_proxy_dns_listen,
                max_body_bytes: self.inference_proxy_max_body_bytes,
                idle: Duration::from_millis(self.inference_proxy_idle_ms),
                limits,
            }),
            _ => Err(faults),
        }
    }

    fn passage(&self) -> Result<Option<Passage>, String> {
        let (listen, upstream) =
            match (self.inference_proxy_tls_listen, self.inference_proxy_tls_upstream.as_deref()) {
                (None, None) => return Ok(None),
                (Some(listen), Some(upstream)) => (listen, upstream),
                (None, _) => return Err("INFERENCE_PROXY_TLS_LISTEN: is missing".to_owned()),
                (_, None) => return Err("INFERENCE_PROXY_TLS_UPSTREAM: is missing".to_owned()),
            };
        let path = upstream.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let path = path.ok_or("INFERENCE_PROXY_TLS_UPSTREAM: must begin with unix:///")?;
        Ok(Some(Passage {
            listen,
            upstream: path.into(),
            connections: self.inference_proxy_max_connections,
            connect: Duration::from_millis(self.inference_proxy_connect_ms),
            drain: Duration::from_millis(self.inference_proxy_drain_ms),
        }))
    }

    fn upstream(&self) -> Result<Upstream, String> {
        let location: Location = self
            .ollama_upstream_url
            .parse()
            .map_err(|fault| format!("OLLAMA_UPSTREAM_URL: {fault}"))?;
        // Authorities are read only for one that needs them: they are most of an idle proxy's memory.
        let trust = match location.is_tls() {
            true => Some(Trust::load(self.inference_proxy_ca_file.as_deref())),
            false => None,
        };
        let trust =
            trust.transpose().map_err(|fault| format!("INFERENCE_PROXY_CA_FILE: {fault}"))?;
        let timeouts = Timeouts {
            connect: Duration::from_millis(self.inference_proxy_connect_ms),
            request_body: Duration::from_millis(self.inference_proxy_request_body_ms),
            first_byte: Duration::from_millis(self.inference_proxy_first_byte_ms),
            idle: Duration::from_millis(self.inference_proxy_idle_ms),
            total: self.inference_proxy_total_ms.map(Duration::from_millis),
        };
        Ok(Upstream::new(location, trust, timeouts))
    }
}

fn places(address: Option<SocketAddr>, socket: Option<PathBuf>) -> Vec<Place> {
    let socket = socket.map(Place::Socket);
    let usual = || Place::Address((Ipv4Addr::LOCALHOST, USUAL_PORT).into());
    match (address.map(Place::Address), socket) {
        (None, None) => vec![usual()],
        (address, socket) => address.into_iter().chain(socket).collect(),
    }
}
