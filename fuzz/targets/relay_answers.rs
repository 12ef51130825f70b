//! Fuzzes what `checks/relay_answers.rs` checks.

#![no_main]

#[path = "../checks/relay_answers.rs"]
mod relay_answers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| relay_answers::check(data));
