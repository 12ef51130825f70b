//! Fuzzes what `checks/agent_globs.rs` checks.

#![no_main]

#[path = "../checks/agent_globs.rs"]
mod agent_globs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_globs::check(data));
