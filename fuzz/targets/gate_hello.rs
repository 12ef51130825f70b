//! Fuzzes what `checks/gate_hello.rs` checks.

#![no_main]

#[path = "../checks/gate_hello.rs"]
mod gate_hello;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_hello::check(data));
