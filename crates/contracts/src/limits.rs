//! What a job may use: what a caller asks for, and what the node makes of it.

use crate::Faults;
use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// What a caller asks for; an absent field means the node's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsRequest {
    /// Memory of all processes, with `/workspace`, `/tmp` and `/job`, which live in memory. No swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// CPU time per second of wall time, 0.01 and more: 1.5 is one and a half cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Processes and threads at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Open files per process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Largest single file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size_bytes: Option<u64>,
    /// Size of `/workspace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_bytes: Option<u64>,
    /// Size of `/tmp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmp_bytes: Option<u64>,
    /// Captured bytes per output stream; what is beyond is counted, not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
}

/// The limits that hold for one sandbox: every one is set, and every one is enforced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_bytes: u64,
    pub cpus: f64,
    pub pids: u64,
    pub open_files: u64,
    pub file_size_bytes: u64,
    pub workspace_bytes: u64,
    pub tmp_bytes: u64,
    pub output_bytes: u64,
}

impl Limits {
    /// The defaults of a node that nobody configured: room for a compiler, not for a data set.
    pub const DEFAULT: Limits = Limits {
        memory_bytes: 512 * MIB,
        cpus: 1.0,
        pids: 256,
        open_files: 1024,
        file_size_bytes: 256 * MIB,
        workspace_bytes: 256 * MIB,
        tmp_bytes: 64 * MIB,
        output_bytes: 262_144,
    };

    /// The most that a caller may ask of a node that nobody configured.
    pub const MAXIMUM: Limits = Limits {
        memory_bytes: 4096 * MIB,
        cpus: 2.0,
        pids: 1024,
        open_files: 1024,
        file_size_bytes: 4096 * MIB,
        workspace_bytes: 2048 * MIB,
        tmp_bytes: 1024 * MIB,
        output_bytes: 16 * MIB,
    };

    /// Smallest memory in which the agent, a shell and the mounts of a sandbox fit.
    pub const SMALLEST_MEMORY_BYTES: u64 = 8 * MIB;

    /// Below this crun can't start a container: it writes the compiled filter of system calls, of 32 KiB at most, when
    /// the limit holds already.
    pub const SMALLEST_FILE_BYTES: u64 = 64 << 10;

    /// Below about half of this crun can't start a container: each place that it hides costs it a descriptor.
    pub const FEWEST_OPEN_FILES: u64 = 128;

    /// The limits that hold for a request on a node with these defaults and maxima.
    ///
    /// What was asked for is granted or refused, never bent. A default gives way: it shrinks to the
    /// node's maximum, and the sized mounts shrink to fit the memory that they are charged to.
    pub fn granted(
        asked: &LimitsRequest,
        default: &Limits,
        maximum: &Limits,
    ) -> Result<Limits, Faults> {
        let mut faults = Faults::default();
        let mut whole = |name: &str, asked: Option<u64>, default: u64, maximum: u64, least: u64| {
            let field = format!("sandbox.limits.{name}");
            let value = asked.unwrap_or(default.min(maximum));
            faults.require(value >= least, &field, format!("must be at least {least}"));
            faults.require(
                value <= maximum,
                &field,
                format!("is above the node's maximum of {maximum}"),
            );
            value
        };
        let memory_bytes = whole(
            "memory_bytes",
            asked.memory_bytes,
            default.memory_bytes,
            maximum.memory_bytes,
            Self::SMALLEST_MEMORY_BYTES,
        );
        let pids = whole("pids", asked.pids, default.pids, maximum.pids, 2);
        let open_files = whole(
            "open_files",
            asked.open_files,
            default.open_files,
            maximum.open_files,
            Self::FEWEST_OPEN_FILES,
        );
        let workspace_default = default.workspace_bytes.min(memory_bytes / 2);
        let workspace_bytes = whole(
            "workspace_bytes",
            asked.workspace_bytes,
            workspace_default,
            maximum.workspace_bytes,
            4096,
        );
        let tmp_default = default.tmp_bytes.min(memory_bytes / 4);
        let tmp_bytes = whole("tmp_bytes", asked.tmp_bytes, tmp_default, maximum.tmp_bytes, 4096);
        let file_default =
            default.file_size_bytes.max(workspace_bytes).min(maximum.file_size_bytes);
        let file_size_bytes = whole(
            "file_size_bytes",
            asked.file_size_bytes,
            file_default,
            maximum.file_size_bytes,
            Self::SMALLEST_FILE_BYTES,
        );
        let output_bytes = whole(
            "output_bytes",
            asked.output_bytes,
            default.output_bytes,
            maximum.output_bytes,
            1,
        );
        let cpus = asked.cpus.unwrap_or(default.cpus.min(maximum.cpus));
        faults.require(
            cpus.is_finite() && cpus >= 0.01 && cpus <= maximum.cpus,
            "sandbox.limits.cpus",
            format!("must be between 0.01 and {}", maximum.cpus),
        );
        // The kernel charges these mounts to the sandbox's memory: promising more disk than memory
        // would be a limit that ends in an out-of-memory kill instead of a full disk.
        faults.require(
            workspace_bytes < memory_bytes,
            "sandbox.limits.workspace_bytes",
            format!("lives in memory and must stay below memory_bytes ({memory_bytes})"),
        );
        faults.require(
            tmp_bytes < memory_bytes,
            "sandbox.limits.tmp_bytes",
            format!("lives in memory and must stay below memory_bytes ({memory_bytes})"),
        );
        faults.into_result()?;
        Ok(Limits {
            memory_bytes,
            cpus,
            pids,
            open_files,
            file_size_bytes,
            workspace_bytes,
            tmp_bytes,
            output_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(asked: LimitsRequest) -> Result<Limits, Faults> {
        Limits::granted(&asked, &Limits::DEFAULT, &Limits::MAXIMUM)
    }

    #[test]
    fn nothing_asked_means_every_default_is_set() {
        assert_eq!(grant(LimitsRequest::default()), Ok(Limits::DEFAULT));
    }

    #[test]
    fn a_small_memory_shrinks_the_mounts_that_nobody_asked_for() {
        let asked = LimitsRequest { memory_bytes: Some(64 * MIB), ..Default::default() };
        let granted = grant(asked).unwrap();
        assert_eq!(granted.workspace_bytes, 32 * MIB);
        assert_eq!(granted.tmp_bytes, 16 * MIB);
    }

    #[test]
    fn more_than_the_maximum_is_refused_by_name() {
        let asked =
            LimitsRequest { pids: Some(1 << 40), cpus: Some(f64::NAN), ..Default::default() };
        let text = grant(asked).unwrap_err().to_string();
        assert!(text.contains("sandbox.limits.pids"), "{text}");
        assert!(text.contains("sandbox.limits.cpus"), "{text}");
    }

    #[test]
    fn what_no_runtime_starts_under_is_refused() {
        let (bytes, files) = (Limits::SMALLEST_FILE_BYTES, Limits::FEWEST_OPEN_FILES);
        let asked = |bytes, files| LimitsRequest {
            file_size_bytes: Some(bytes),
            open_files: Some(files),
            ..Default::default()
        };
        assert!(grant(asked(bytes, files)).is_ok());
        let text = grant(asked(bytes - 1, files - 1)).unwrap_err().to_string();
        assert!(text.contains("sandbox.limits.file_size_bytes: must be at least 65536"), "{text}");
        assert!(text.contains("sandbox.limits.open_files: must be at least 128"), "{text}");
    }

    #[test]
    fn a_workspace_larger_than_the_memory_that_holds_it_is_refused() {
        let asked = LimitsRequest { workspace_bytes: Some(1024 * MIB), ..Default::default() };
        let text = grant(asked).unwrap_err().to_string();
        assert!(text.contains("lives in memory"), "{text}");
    }
}
