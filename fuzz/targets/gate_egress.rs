//! Fuzzes what `checks/gate_egress.rs` checks.

#![no_main]

#[path = "../checks/gate_egress.rs"]
mod gate_egress;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_egress::check(data));
