//! Fuzzes what `checks/gate_dns.rs` checks.

#![no_main]

#[path = "../checks/gate_dns.rs"]
mod gate_dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_dns::check(data));
