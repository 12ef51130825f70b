//! Policies: what may be written, what is named when it may not, and what a denial tells.
