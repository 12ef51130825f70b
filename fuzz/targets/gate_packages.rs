//! Fuzzes what `checks/gate_packages.rs` checks.

#![no_main]

#[path = "../checks/gate_packages.rs"]
mod gate_packages;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_packages::check(data));
