//! What the words of the features mean, grouped by noun.

mod egress;
mod files;
mod floor;
mod help;
mod hostile;
mod inference;
mod inference_local;
mod jobs;
mod kernels;
mod keys;
mod landlock;
mod libraries;
mod lifetimes;
mod node;
mod packages;
mod pool;
mod programs;
mod prompt;
mod providers;
mod real_model;
mod requests;
mod session_files;
mod sessions;
mod stdin;
mod terminals;
mod watch;
