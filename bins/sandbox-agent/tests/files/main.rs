//! A session's files through the real agent and the real link, without a container around it: what
//! callers may do beneath the workspace, and what code in it can't make of that.

mod calls;
mod hostile;
mod tars;
mod watches;
mod world;
