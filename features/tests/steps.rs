//! What the words of the features mean, grouped by noun.

mod egress;
mod files;
mod floor;
mod hostile;
mod inference;
mod inference_local;
mod jobs;
mod kernels;
mod keys;
mod node;
mod pool;
mod programs;
mod prompt;
mod providers;
mod real_model;
mod requests;
mod sessions;
mod stdin;
mod terminals;
mod watch;
