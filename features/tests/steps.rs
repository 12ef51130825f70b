//! What the words of the features mean, grouped by noun.

mod egress;
mod egress_live;
mod files;
mod five_steps;
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
mod providers;
mod requests;
mod sessions;
mod watch;
