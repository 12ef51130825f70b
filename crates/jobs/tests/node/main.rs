//! The node's promises, on a scripted engine and a real store.

mod jobs;
mod pool;
mod stopping;
mod templates;
mod world;
