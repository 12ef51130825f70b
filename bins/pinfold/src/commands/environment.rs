//! The one place that reads a variable whose name is not known before: one that a person named, or
//! that a provider's own clients read.

/// What it holds, unless that is nothing.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}
