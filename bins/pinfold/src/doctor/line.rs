//! One line of the doctor's report.

use serde::Serialize;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Holds = 0,
    /// It works, and less stands between an attacker and the host than could.
    Weaker = 1,
    Fails = 2,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What should be so.
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// How it was seen, or why it is not so.
    pub(super) because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Line {
    pub(super) fn holds(name: &str, seen: impl Into<String>) -> Self {
        Self { name: name.to_owned(), verdict: Verdict::Holds, because: seen.into(), fix: None }
    }

    pub(super) fn weaker(name: &str, because: impl Into<String>, fix: impl Into<String>) -> Self {
        let (because, fix) = (because.into(), Some(fix.into()));
        Self { name: name.to_owned(), verdict: Verdict::Weaker, because, fix }
    }

    pub(super) fn fails(name: &str, because: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fails, ..Self::weaker(name, because, fix) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Holds => "holds ",
            Verdict::Weaker => "weaker",
            Verdict::Fails => "FAILS ",
        };
        write!(f, "{verdict}  {:<48} {}", self.name, self.because)?;
        match &self.fix {
            Some(fix) => write!(f, "\n        fix: {fix}"),
            None => Ok(()),
        }
    }
}
