//! Fuzzes what `checks/contracts_names.rs` checks.

#![no_main]

#[path = "../checks/contracts_names.rs"]
mod contracts_names;

libfuzzer_sys::fuzz_target!(|data: &[u8]| contracts_names::check(data));
