//! The node's promises, on a scripted engine and a real store.

mod jobs;
mod leftovers;
mod pool;
mod restart;
mod stdin;
mod stopping;
mod templates;
mod world;
