//! What a job may ask of models, and what it has spent on them.

use crate::Faults;
use serde::{Deserialize, Serialize};

/// Most models that one job may name, and the longest name.
const MAX_MODELS: usize = 64;
const MAX_MODEL_BYTES: usize = 256;

/// The inference part of a sandbox's request. It only narrows what the node allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceSpec {
    /// The names that the job may use. Absent means all that the node offers; an empty list, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    pub budget: Caps,
}

/// The bounds of one job. What is absent is not bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_streams: Option<u64>,
}

/// What one job has spent. Only calls that were made count, and refusals by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InferenceUsage {
    pub requests: u64,
    pub refused: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Calls whose answer was cut, by the client or by the provider.
    pub unfinished: u64,
    /// Calls of which a figure is an estimate.
    pub estimated: u64,
    /// Calls that answered at all: what the times below are of.
    pub answered: u64,
    pub first_token_ms_sum: u64,
    pub first_token_ms_max: u64,
}

impl InferenceSpec {
    pub fn validate(&self, faults: &mut Faults) {
        let Some(models) = &self.models else { return };
        let most = format!("holds more than {MAX_MODELS} names");
        faults.require(models.len() <= MAX_MODELS, "sandbox.inference.models", most);
        for (index, model) in models.iter().enumerate() {
            let good = !model.is_empty() && model.len() <= MAX_MODEL_BYTES;
            let field = format!("sandbox.inference.models[{index}]");
            faults.require(good, &field, "must be a model's name");
        }
    }
}

impl Caps {
    /// The stricter of two, bound by bound.
    pub fn and(self, other: Self) -> Self {
        let least = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            max_requests: least(self.max_requests, other.max_requests),
            max_input_tokens: least(self.max_input_tokens, other.max_input_tokens),
            max_output_tokens: least(self.max_output_tokens, other.max_output_tokens),
            max_concurrent_streams: least(
                self.max_concurrent_streams,
                other.max_concurrent_streams,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_only_narrows_what_the_node_allows() {
        let node = Caps { max_requests: Some(5), max_input_tokens: Some(7), ..Caps::default() };
        let job = Caps { max_requests: Some(9), max_output_tokens: Some(1), ..Caps::default() };
        let both = Caps {
            max_requests: Some(5),
            max_input_tokens: Some(7),
            max_output_tokens: Some(1),
            max_concurrent_streams: None,
        };
        assert_eq!(node.and(job), both);
        assert_eq!(job.and(node), both);
    }

    #[test]
    fn what_is_no_list_of_models_is_refused() {
        for (models, faults) in
            [(vec!["a".to_owned()], 0), (vec![String::new()], 1), (vec!["a".to_owned(); 65], 1)]
        {
            let mut found = Faults::default();
            InferenceSpec { models: Some(models), budget: Caps::default() }.validate(&mut found);
            assert_eq!(found.iter().count(), faults);
        }
        assert!(serde_json::from_str::<InferenceSpec>(r#"{"model":"a"}"#).is_err());
        assert!(serde_json::from_str::<InferenceSpec>(r#"{"budget":{"max":1}}"#).is_err());
    }
}
