//! Fuzzes what `checks/relay_headers.rs` checks.

#![no_main]

#[path = "../checks/relay_headers.rs"]
mod relay_headers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay_headers::check(data));
