//! The program between a raw client and a scripted upstream: what crosses, and what never may.

mod cancel;
mod faults;
mod limits;
mod names;
mod passage;
mod process;
mod requests;
mod streams;
mod world;
