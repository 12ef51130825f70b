//! Fuzzes what `checks/agent_events.rs` checks.

#![no_main]

#[path = "../checks/agent_events.rs"]
mod agent_events;

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent_events::check(data));
