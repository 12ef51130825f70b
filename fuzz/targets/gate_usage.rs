//! Fuzzes what `checks/gate_usage.rs` checks.

#![no_main]

#[path = "../checks/gate_usage.rs"]
mod gate_usage;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_usage::check(data));
