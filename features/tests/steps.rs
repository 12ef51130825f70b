//! What the words of the features mean, grouped by noun.

mod egress;
mod egress_live;
mod files;
mod five_steps;
mod floor;
mod help;
mod hostile;
mod inference;
mod inference_local;
mod jobs;
mod kernels;
mod keys;
mod landlock;
mod lifetimes;
mod node;
mod pool;
mod programs;
mod providers;
mod real_model;
mod requests;
mod session_files;
mod sessions;
mod watch;
