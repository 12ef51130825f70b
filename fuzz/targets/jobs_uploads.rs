//! Fuzzes what `checks/jobs_uploads.rs` checks.

#![no_main]

#[path = "../checks/jobs_uploads.rs"]
mod jobs_uploads;
#[path = "../checks/tars.rs"]
mod tars;

libfuzzer_sys::fuzz_target!(|data: &[u8]| jobs_uploads::check(data));
