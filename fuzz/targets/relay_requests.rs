//! Fuzzes what `checks/relay_requests.rs` checks.

#![no_main]

#[path = "../checks/relay_requests.rs"]
mod relay_requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay_requests::check(data));
