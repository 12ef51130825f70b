//! Placeholder until the promise lands.
