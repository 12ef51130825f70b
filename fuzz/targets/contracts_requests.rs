//! Fuzzes what `checks/contracts_requests.rs` checks.

#![no_main]

#[path = "../checks/contracts_requests.rs"]
mod contracts_requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| contracts_requests::check(data));
