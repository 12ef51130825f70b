//! The catalogue over a real store and a provider that checks its key.
