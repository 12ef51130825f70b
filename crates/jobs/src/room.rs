//! Whether the host's disk has room for what jobs leave on it: results, artifacts, uploads.
//!
//! Each is bounded, and kept for long. A program that leaves as much as it may, run again and again,
//! would fill the disk, and with it end the store, which then keeps no result of anybody's.

use crate::{JobError, NodeConfig};
use rustix::fs::statvfs;
use std::io;

/// What `Retry-After` says: room comes back with the next sweep, or by the operator.
const RETRY_AFTER_S: u64 = 60;

/// Why a write failed: there was no room since it was looked at, or it is a fault of ours.
pub(crate) fn refusal(error: io::Error, phase: &'static str) -> JobError {
    match is_wanting(&error) {
        true => JobError::DiskFull { retry_after_s: RETRY_AFTER_S },
        false => JobError::fault(phase, error),
    }
}

/// Whether a write failed because there was none.
pub(crate) fn is_wanting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A disk that does not say how much is free is taken to have room.
pub(crate) fn is_there(config: &NodeConfig) -> bool {
    let Ok(disk) = statvfs(&config.state_dir) else { return true };
    disk.f_bavail.saturating_mul(disk.f_frsize) >= config.min_free_bytes
}

pub(crate) fn check(config: &NodeConfig) -> Result<(), JobError> {
    match is_there(config) {
        true => Ok(()),
        false => Err(JobError::DiskFull { retry_after_s: RETRY_AFTER_S }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fills_up_under_a_write_is_no_fault_of_ours() {
        let full = rustix::io::Errno::NOSPC.into();
        assert_eq!(refusal(full, "upload").problem().status, 503);
        let broken = rustix::io::Errno::IO.into();
        assert_eq!(refusal(broken, "upload").problem().status, 500);
    }
}
