//! Where inference goes, which models there are, and how much of them one job may use.

use contracts::{Faults, ImageRef, inference::Caps};
use gate::{BodyPolicy, ModelMap, Policy, Unlisted};
use relay::{Location, Timeouts, Trust, Upstream};
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Inference")]
pub struct InferenceSettings {
    /// Where inference goes: `http://…`, `https://…` or `unix:///path` of an Ollama or whatever
    /// speaks as it does, for models that no route has. Without it and without routes, jobs that want
    /// inference are refused.
    #[arg(long, env = "OLLAMA_UPSTREAM_URL")]
    ollama_upstream_url: Option<String>,

    /// The inference proxy's image: the sidecar of every sandbox with inference or egress rules.
    #[arg(
        long,
        env = "INFERENCE_PROXY_IMAGE",
        default_value = "localhost/pinfold/inference-proxy:latest"
    )]
    inference_proxy_image: String,

    /// The models that sandboxes may name, separated by commas: `name`, `alias=name`, `*=name` for
    /// every other name, or `*` to leave it to the upstream which names it knows.
    #[arg(long, env = "INFERENCE_MODELS", default_value = "*", value_delimiter = ',')]
    inference_models: Vec<String>,

    /// A PEM file of authorities to believe beside the machine's, for an upstream with TLS.
    #[arg(long, env = "INFERENCE_CA_FILE")]
    inference_ca_file: Option<PathBuf>,

    /// Largest request body, in bytes; a larger one is answered with 413.
    #[arg(long, env = "INFERENCE_MAX_BODY_BYTES", default_value_t = 10 << 20)]
    inference_max_body_bytes: u64,

    /// Let request bodies name pictures and files by URL: the upstream would fetch them.
    #[arg(long, env = "INFERENCE_REMOTE_MEDIA")]
    inference_remote_media: bool,

    /// Calls that one job or session may make.
    #[arg(long, env = "INFERENCE_MAX_REQUESTS")]
    inference_max_requests: Option<u64>,

    /// Tokens that one job or session may send.
    #[arg(long, env = "INFERENCE_MAX_INPUT_TOKENS")]
    inference_max_input_tokens: Option<u64>,

    /// Tokens that one job or session may be sent.
    #[arg(long, env = "INFERENCE_MAX_OUTPUT_TOKENS")]
    inference_max_output_tokens: Option<u64>,

    /// Calls that one job or session may have open at a time.
    #[arg(long, env = "INFERENCE_MAX_CONCURRENT", default_value_t = 64)]
    inference_max_concurrent: u64,

    /// For reaching the upstream, in milliseconds.
    #[arg(long, env = "INFERENCE_CONNECT_MS", default_value_t = 5_000)]
    inference_connect_ms: u64,

    /// For a request's body to arrive, in milliseconds.
    #[arg(long, env = "INFERENCE_REQUEST_BODY_MS", default_value_t = 60_000)]
    inference_request_body_ms: u64,

    /// For the upstream to begin its answer, in milliseconds.
    #[arg(long, env = "INFERENCE_FIRST_BYTE_MS", default_value_t = 120_000)]
    inference_first_byte_ms: u64,

    /// For silence within an answer, on either side, in milliseconds. A stream that goes on talking
    /// is never cut.
    #[arg(long, env = "INFERENCE_IDLE_MS", default_value_t = 120_000)]
    inference_idle_ms: u64,

    /// For a whole answer that is not a stream, in milliseconds. None, unless it is given.
    #[arg(long, env = "INFERENCE_TOTAL_MS")]
    inference_total_ms: Option<u64>,
}

impl InferenceSettings {
    /// The gate's policy, and the sidecar's image; none if there is a fault.
    pub(super) fn read(&self, faults: &mut Faults) -> Option<(Policy, ImageRef)> {
        let image = ImageRef::new(&*self.inference_proxy_image);
        let image =
            image.map_err(|error| faults.add("INFERENCE_PROXY_IMAGE", error.to_string())).ok();
        self.check_times(faults);
        let models = self.models(faults);
        let policy = Policy {
            upstream: self.upstream(faults),
            models,
            bodies: BodyPolicy {
                allows_remote_media: self.inference_remote_media,
                ..BodyPolicy::default()
            },
            caps: Caps {
                max_requests: self.inference_max_requests,
                max_input_tokens: self.inference_max_input_tokens,
                max_output_tokens: self.inference_max_output_tokens,
                max_concurrent_streams: Some(self.inference_max_concurrent),
            },
            max_body_bytes: self.inference_max_body_bytes,
            body_time: Duration::from_millis(self.inference_request_body_ms),
        };
        Some((policy, image?))
    }

    fn upstream(&self, faults: &mut Faults) -> Option<Upstream> {
        let location = self.ollama_upstream_url.as_deref()?.parse::<Location>();
        let location =
            location.map_err(|error| faults.add("OLLAMA_UPSTREAM_URL", error.to_string())).ok()?;
        // Authorities are read only for an upstream that needs them.
        let trust = location.is_tls().then(|| Trust::load(self.inference_ca_file.as_deref()));
        let trust =
            trust.transpose().map_err(|error| faults.add("INFERENCE_CA_FILE", error.to_string()));
        Some(Upstream::new(location, trust.ok()?, self.timeouts()))
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: Duration::from_millis(self.inference_connect_ms),
            request_body: Duration::from_millis(self.inference_request_body_ms),
            first_byte: Duration::from_millis(self.inference_first_byte_ms),
            idle: Duration::from_millis(self.inference_idle_ms),
            total: self.inference_total_ms.map(Duration::from_millis),
        }
    }

    fn check_times(&self, faults: &mut Faults) {
        for (name, value) in [
            ("INFERENCE_CONNECT_MS", self.inference_connect_ms),
            ("INFERENCE_REQUEST_BODY_MS", self.inference_request_body_ms),
            ("INFERENCE_FIRST_BYTE_MS", self.inference_first_byte_ms),
            ("INFERENCE_IDLE_MS", self.inference_idle_ms),
            ("INFERENCE_TOTAL_MS", self.inference_total_ms.unwrap_or(1)),
        ] {
            let sane = (1..=u64::from(u32::MAX)).contains(&value);
            faults.require(sane, name, format!("must be between 1 and {}", u32::MAX));
        }
    }

    fn models(&self, faults: &mut Faults) -> ModelMap {
        let mut unlisted = Unlisted::Refused;
        let mut aliases = Vec::new();
        for entry in &self.inference_models {
            match entry.trim().split_once('=').unwrap_or((entry.trim(), entry.trim())) {
                ("*", "*") => unlisted = Unlisted::Same,
                ("", _) | (_, "") => {
                    faults.add("INFERENCE_MODELS", format!("{entry:?} names no model"));
                }
                ("*", model) => unlisted = Unlisted::Means(model.to_owned()),
                (alias, model) => aliases.push((alias.to_owned(), model.to_owned())),
            }
        }
        ModelMap::new(aliases, unlisted)
    }
}
