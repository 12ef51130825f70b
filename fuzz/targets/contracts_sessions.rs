//! Fuzzes what `checks/contracts_sessions.rs` checks.

#![no_main]

#[path = "../checks/contracts_sessions.rs"]
mod contracts_sessions;
#[path = "../checks/understood.rs"]
mod understood;

libfuzzer_sys::fuzz_target!(|data: &[u8]| contracts_sessions::check(data));
