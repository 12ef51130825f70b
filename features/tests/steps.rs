//! What the words of the features mean, grouped by noun.

mod files;
mod floor;
mod hostile;
mod inference;
mod jobs;
mod kernels;
mod keys;
mod node;
mod pool;
mod programs;
mod providers;
mod requests;
mod sessions;
mod stdin;
mod watch;
