//! What the commands do, one file each.

pub(crate) mod jobs;
pub(crate) mod pool;
pub(crate) mod run;
