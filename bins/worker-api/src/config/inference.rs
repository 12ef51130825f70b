//! Where inference goes, which models there are, and how much of them one job may use.

use contracts::{Faults, ImageRef, inference::Caps};
use gate::{BodyPolicy, ModelMap, Policy, Unlisted};
use relay::{Location, Timeouts, Trust, Upstream};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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
        let mut unlisted = None;
        let mut aliases = BTreeMap::new();
        let mut fault = |entry: &str, what: &str| {
            faults.add("INFERENCE_MODELS", format!("{entry:?} {what}"));
        };
        for entry in &self.inference_models {
            let (alias, model) = entry.split_once('=').unwrap_or((entry, entry));
            let (alias, model) = (alias.trim(), model.trim());
            let is_clear = match (alias, model) {
                ("*", "*") => is_as_before(unlisted.replace(Unlisted::Same), &Unlisted::Same),
                ("", _) | (_, "") => {
                    fault(entry, "names no model");
                    continue;
                }
                ("*", model) => {
                    let means = Unlisted::Means(model.to_owned());
                    is_as_before(unlisted.replace(means.clone()), &means)
                }
                (alias, _) if !ModelMap::can_be_asked_for(alias) => {
                    fault(entry, "is a name that no call can have");
                    continue;
                }
                (alias, model) => {
                    let before = aliases.insert(alias.to_owned(), model.to_owned());
                    is_as_before(before, &model.to_owned())
                }
            };
            if !is_clear {
                fault(entry, "says otherwise than another entry for the same name");
            }
        }
        let unlisted = unlisted.unwrap_or_default();
        ModelMap::new(aliases, unlisted)
    }
}

fn is_as_before<T: PartialEq>(before: Option<T>, now: &T) -> bool {
    before.is_none_or(|before| before == *now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        inference: InferenceSettings,
    }

    fn read(models: &str) -> (ModelMap, usize) {
        let all = ["test".to_owned(), format!("--inference-models={models}")];
        let mut faults = Faults::default();
        let models = Only::try_parse_from(all).unwrap().inference.models(&mut faults);
        (models, faults.iter().count())
    }

    #[test]
    fn models_are_read_as_they_are_meant() {
        let (models, faults) = read("small = qwen2.5:0.5b, plain ,* = rest");
        assert_eq!(faults, 0);
        for (name, model) in [("small", "qwen2.5:0.5b"), ("plain", "plain"), ("other", "rest")] {
            assert_eq!(models.resolve(name).unwrap(), model);
        }
    }

    #[test]
    fn a_name_that_no_call_could_have_and_one_that_means_two_are_told() {
        for models in ["a b", "a/../b=c", "=a", "a=", "a=b,a=c", "*=a,*=b", "*,*=a", "a b=c"] {
            assert_eq!(read(models).1, 1, "{models}");
        }
        assert_eq!(read("a,a=a,*,*").1, 0);
    }
}
