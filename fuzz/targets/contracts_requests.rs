//! Fuzzes what `checks/contracts_requests.rs` checks.

#![no_main]

#[path = "../checks/contracts_requests.rs"]
mod contracts_requests;
#[path = "../checks/understood.rs"]
mod understood;

libfuzzer_sys::fuzz_target!(|data: &[u8]| contracts_requests::check(data));
