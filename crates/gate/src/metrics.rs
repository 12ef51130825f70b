//! What the gate counts, for Prometheus. The names of calls and tokens are OpenTelemetry's for
//! generative AI, with its dots as underscores.

use crate::{Endpoint, Reading};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use relay::Dialect;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    /// Empty for a call that ended well.
    error_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    gen_ai_token_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Begun {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

pub struct GateMetrics {
    calls: Family<Call, Histogram>,
    tokens: Family<Tokens, Histogram>,
    first_tokens: Family<Begun, Histogram>,
    refused: Family<Refused, Counter>,
    pub(crate) open: Gauge,
}

impl Default for GateMetrics {
    fn default() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 14));
        let tokens: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 4.0, 12));
        Self {
            calls: Family::new_with_constructor(seconds),
            tokens: Family::new_with_constructor(tokens),
            first_tokens: Family::new_with_constructor(seconds),
            refused: Family::default(),
            open: Gauge::default(),
        }
    }
}

impl GateMetrics {
    /// The names with a prefix of ours go to `ours`, OpenTelemetry's to `plain`.
    pub fn register(&self, plain: &mut Registry, ours: &'static str) {
        let unit = Unit::Seconds;
        plain.register_with_unit(
            "gen_ai_client_operation_duration",
            "From a call's first byte to its answer's last",
            unit.clone(),
            self.calls.clone(),
        );
        plain.register(
            "gen_ai_client_token_usage",
            "Tokens per call, by type",
            self.tokens.clone(),
        );
        plain.register_with_unit(
            "gen_ai_server_time_to_first_token",
            "From a call's first byte to the answer's first text",
            unit,
            self.first_tokens.clone(),
        );
        let ours = plain.sub_registry_with_prefix(ours);
        ours.register("gate_refused", "Calls that the gate refused", self.refused.clone());
        ours.register("gate_calls_open", "Calls under way", self.open.clone());
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Refused { reason }).inc();
    }

    pub(crate) fn called(&self, endpoint: Endpoint, took: Duration, error: Option<&'static str>) {
        let call = Call {
            gen_ai_operation_name: operation(endpoint),
            gen_ai_provider_name: provider(endpoint),
            error_type: error.unwrap_or_default(),
        };
        self.calls.get_or_create(&call).observe(took.as_secs_f64());
    }

    pub(crate) fn spent(&self, endpoint: Endpoint, reading: &Reading, first: Option<Duration>) {
        let kinds = [("input", reading.input_tokens), ("output", reading.output_tokens)];
        for (gen_ai_token_type, count) in kinds {
            let tokens = Tokens {
                gen_ai_operation_name: operation(endpoint),
                gen_ai_provider_name: provider(endpoint),
                gen_ai_token_type,
            };
            self.tokens.get_or_create(&tokens).observe(count as f64);
        }
        if let Some(first) = first {
            let begun = Begun {
                gen_ai_operation_name: operation(endpoint),
                gen_ai_provider_name: provider(endpoint),
            };
            self.first_tokens.get_or_create(&begun).observe(first.as_secs_f64());
        }
    }
}

fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::OllamaChat
        | Endpoint::ChatCompletions
        | Endpoint::Responses
        | Endpoint::Messages => "chat",
        Endpoint::OllamaGenerate | Endpoint::Completions => "text_completion",
        Endpoint::OllamaEmbed | Endpoint::OllamaEmbeddings | Endpoint::Embeddings => "embeddings",
        Endpoint::CountTokens => "count_tokens",
    }
}

/// Which dialect was spoken: the provider behind it may be another's.
fn provider(endpoint: Endpoint) -> &'static str {
    match endpoint.dialect() {
        Dialect::Ollama => "ollama",
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn durations_and_first_tokens_are_told_by_operation_and_provider() {
        let (metrics, mut registry) = (GateMetrics::default(), Registry::default());
        metrics.register(&mut registry, "pinfold");
        let reading = Reading {
            input_tokens: 3,
            cached_tokens: 0,
            output_tokens: 5,
            finished: true,
            estimated: false,
        };
        metrics.called(Endpoint::Messages, Duration::from_millis(30), Some("timeout"));
        metrics.spent(Endpoint::Messages, &reading, Some(Duration::from_millis(15)));
        metrics.spent(Endpoint::Embeddings, &reading, None);

        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let chat = "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\"";
        for line in [
            &format!(
                "gen_ai_client_operation_duration_seconds_count{{{chat},error_type=\"timeout\"}} 1"
            ),
            &format!("gen_ai_server_time_to_first_token_seconds_sum{{{chat}}} 0.015"),
            &format!("gen_ai_server_time_to_first_token_seconds_bucket{{le=\"0.02\",{chat}}} 1"),
            &format!("gen_ai_client_token_usage_sum{{{chat},gen_ai_token_type=\"output\"}} 5.0"),
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
        // What never had a first text has no series for it.
        let firsts = text
            .lines()
            .filter(|line| line.starts_with("gen_ai_server_time_to_first_token_seconds_count"));
        assert_eq!(firsts.count(), 1);
    }
}
