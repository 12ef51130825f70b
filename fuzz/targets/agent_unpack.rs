//! Fuzzes what `checks/agent_unpack.rs` checks.

#![no_main]

#[path = "../checks/agent_unpack.rs"]
mod agent_unpack;
#[path = "../checks/tars.rs"]
mod tars;

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_unpack::check(data));
