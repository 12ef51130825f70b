//! Fuzzes what `checks/gate_surface.rs` checks.

#![no_main]

#[path = "../checks/gate_surface.rs"]
mod gate_surface;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate_surface::check(data));
