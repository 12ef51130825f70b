//! Fuzzes what `checks/contracts_link.rs` checks.

#![no_main]

#[path = "../checks/contracts_link.rs"]
mod contracts_link;

libfuzzer_sys::fuzz_target!(|data: &[u8]| contracts_link::check(data));
