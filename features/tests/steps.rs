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
mod packages;
mod pool;
mod programs;
mod providers;
mod requests;
mod sessions;
mod watch;
