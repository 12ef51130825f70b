//! Templates of sessions: an image with libraries, files and limits under a name, built ahead.

use crate::{
    Faults, ImageRef, TemplateName, Version, code::Language, file::InputFile,
    limits::LimitsRequest, packages::check_libraries, sandbox::check_env,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Templates that a node knows at a time.
pub const MAX_TEMPLATES: usize = 32;

/// Files of one template and their bytes: they are in the node's memory for as long as it is known.
const MAX_FILES: usize = 64;
const MAX_FILE_BYTES: usize = 1 << 20;

/// Sandboxes of one template that may wait.
const MAX_WAITING: u64 = 64;

/// `PUT /v1/templates/{name}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSpec {
    pub version: Version,
    #[serde(default)]
    pub lang: Language,
    /// Absent: the node's image for this language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    #[serde(default)]
    pub libraries: Vec<String>,
    #[serde(default)]
    pub files: Vec<InputFile>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub limits: LimitsRequest,
    /// Absent: one waits where the node keeps sandboxes waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<TemplatePool>,
}

/// How many sandboxes of a template wait, with everything in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatePool {
    /// Always.
    #[serde(default)]
    pub min: u64,
    /// When the demand is there. Absent: no more than always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

impl TemplateSpec {
    pub fn validate(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if !self.libraries.is_empty() {
            check_libraries(self.lang, &self.libraries, &mut faults);
        }
        check_env("env", &self.env, &mut faults);
        let most = format!("are more than {MAX_FILES}");
        faults.require(self.files.len() <= MAX_FILES, "files", most);
        for (index, file) in self.files.iter().take(MAX_FILES).enumerate() {
            file.validate(&format!("files[{index}]"), &mut faults);
        }
        // Of base64 this is above what it stands for.
        let bytes = |file: &InputFile| {
            let text = file.content.as_ref().map_or(0, String::len);
            text + file.content_base64.as_ref().map_or(0, |text| text.len() / 4 * 3)
        };
        let bytes: usize = self.files.iter().map(bytes).sum();
        let most = format!("are larger than {MAX_FILE_BYTES} bytes together");
        faults.require(bytes <= MAX_FILE_BYTES, "files", most);
        if let Some(TemplatePool { min, max }) = self.pool {
            let most = max.unwrap_or(min);
            faults.require(min <= most, "pool.max", "must not be less than pool.min");
            let limit = format!("must be at most {MAX_WAITING}");
            faults.require(min.max(most) <= MAX_WAITING, "pool", limit);
        }
        faults.into_result()
    }
}

/// Whether a sandbox can be made as a template says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TemplateStatus {
    /// None has been made yet.
    Building,
    Ready,
    /// The last one could not be made; it is tried again, less and less often.
    Failed,
}

impl TemplateStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }
}

/// What became of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateState {
    pub status: TemplateStatus,
    /// Why the last one could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Sandboxes of it that wait now.
    pub waiting: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateView {
    pub name: TemplateName,
    #[serde(flatten)]
    pub state: TemplateState,
    #[serde(flatten)]
    pub spec: TemplateSpec,
}

/// A template in a list: without what is in its files and variables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateLine {
    pub name: TemplateName,
    #[serde(flatten)]
    pub state: TemplateState,
    pub lang: Language,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    pub libraries: Vec<String>,
    /// Their paths.
    pub files: Vec<String>,
}

/// `GET /v1/templates`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateList {
    pub version: Version,
    pub templates: Vec<TemplateLine>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> String {
        let spec: TemplateSpec = serde_json::from_str(json).unwrap();
        spec.validate().err().map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_beyond_the_bounds_is_refused_by_its_field() {
        assert_eq!(faults(r#"{"version":1}"#), "");
        let large = "x".repeat(MAX_FILE_BYTES);
        let two = format!(r#"[{{"path":"a","content":"{large}"}},{{"path":"b","content":"x"}}]"#);
        for (fields, field) in [
            (r#""libraries":["--pre"]"#, "libraries[0]"),
            (r#""lang":"bash","libraries":["a"]"#, "libraries[0]"),
            (r#""files":[{"path":"../a","content":""}]"#, "files[0].path"),
            (r#""files":[{"path":"a"}]"#, "files[0]"),
            (&format!(r#""files":{two}"#), "files"),
            (r#""env":{"A=B":"c"}"#, "env"),
            (r#""pool":{"min":2,"max":1}"#, "pool.max"),
            (r#""pool":{"min":65}"#, "pool"),
        ] {
            let told = faults(&format!(r#"{{"version":1,{fields}}}"#));
            assert!(told.contains(field), "{fields}: {told:?}");
        }
    }

    #[test]
    fn a_view_is_read_back_as_it_was() {
        let spec = TemplateSpec { libraries: vec!["a".to_owned()], ..TemplateSpec::default() };
        let state = TemplateState {
            status: TemplateStatus::Failed,
            why: Some("no".to_owned()),
            waiting: 0,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        };
        let view = TemplateView { name: TemplateName::new("a").unwrap(), state, spec };
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<TemplateView>(&text).unwrap(), view);
    }
}
