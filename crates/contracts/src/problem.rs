//! RFC 9457 problem details, with the stable types that callers match on.

use crate::{Faults, session::SessionEnd};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProblemType {
    #[serde(rename = "urn:cynodeai:error:validation")]
    Validation,
    #[serde(rename = "urn:cynodeai:error:authentication")]
    Authentication,
    #[serde(rename = "urn:cynodeai:error:authorization")]
    Authorization,
    #[serde(rename = "urn:cynodeai:error:not_found")]
    NotFound,
    #[serde(rename = "urn:cynodeai:error:rate_limit")]
    RateLimit,
    #[serde(rename = "urn:cynodeai:error:internal")]
    Internal,
}

/// One field that is wrong, for programs; `detail` says the same for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub field: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: ProblemType,
    pub title: String,
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The step that failed, where a fault is ours: `image`, `create`, `link`, `store`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Why and when the session ended that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<SessionEnd>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub ended_at: Option<OffsetDateTime>,
}

impl Problem {
    pub fn new(kind: ProblemType, status: u16, title: impl Into<String>) -> Self {
        Self {
            kind,
            title: title.into(),
            status,
            detail: None,
            phase: None,
            errors: Vec::new(),
            ended: None,
            ended_at: None,
        }
    }

    /// 400 or 422 with every faulty field.
    pub fn from_faults(status: u16, title: &str, faults: &Faults) -> Self {
        let errors = faults
            .iter()
            .map(|fault| FieldError { field: fault.field.clone(), message: fault.message.clone() })
            .collect();
        Self {
            detail: Some(faults.to_string()),
            errors,
            ..Self::new(ProblemType::Validation, status, title)
        }
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn with_phase(mut self, phase: impl Into<String>) -> Self {
        self.phase = Some(phase.into());
        self
    }
}
