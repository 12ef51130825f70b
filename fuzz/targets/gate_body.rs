//! Fuzzes what `checks/gate_body.rs` checks.

#![no_main]

#[path = "../checks/gate_body.rs"]
mod gate_body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_body::check(data));
