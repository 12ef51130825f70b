//! What a job may use when it asks for nothing, and the most that it may ask for.

use contracts::{Faults, limits::Limits};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits (default for a job, most for a job)")]
pub struct LimitSet {
    /// Memory with `/workspace`, `/tmp` and `/job`, in bytes.
    #[arg(long, env = "DEFAULT_MEMORY_BYTES", default_value_t = Limits::DEFAULT.memory_bytes)]
    default_memory_bytes: u64,
    /// Most memory that a job may ask for, in bytes.
    #[arg(long, env = "MAX_MEMORY_BYTES", default_value_t = Limits::MAXIMUM.memory_bytes)]
    max_memory_bytes: u64,
    /// Cores.
    #[arg(long, env = "DEFAULT_CPUS", default_value_t = Limits::DEFAULT.cpus)]
    default_cpus: f64,
    /// Most cores that a job may ask for.
    #[arg(long, env = "MAX_CPUS", default_value_t = Limits::MAXIMUM.cpus)]
    max_cpus: f64,
    /// Processes and threads.
    #[arg(long, env = "DEFAULT_PIDS", default_value_t = Limits::DEFAULT.pids)]
    default_pids: u64,
    /// Most processes and threads that a job may ask for.
    #[arg(long, env = "MAX_PIDS", default_value_t = Limits::MAXIMUM.pids)]
    max_pids: u64,
    /// Open files per process.
    #[arg(long, env = "DEFAULT_OPEN_FILES", default_value_t = Limits::DEFAULT.open_files)]
    default_open_files: u64,
    /// Most open files that a job may ask for.
    #[arg(long, env = "MAX_OPEN_FILES", default_value_t = Limits::MAXIMUM.open_files)]
    max_open_files: u64,
    /// Largest single file, in bytes.
    #[arg(long, env = "DEFAULT_FILE_SIZE_BYTES", default_value_t = Limits::DEFAULT.file_size_bytes)]
    default_file_size_bytes: u64,
    /// Largest single file that a job may ask for, in bytes.
    #[arg(long, env = "MAX_FILE_SIZE_BYTES", default_value_t = Limits::MAXIMUM.file_size_bytes)]
    max_file_size_bytes: u64,
    /// Size of `/workspace`, in bytes.
    #[arg(long, env = "DEFAULT_WORKSPACE_BYTES", default_value_t = Limits::DEFAULT.workspace_bytes)]
    default_workspace_bytes: u64,
    /// Largest `/workspace` that a job may ask for, in bytes.
    #[arg(long, env = "MAX_WORKSPACE_BYTES", default_value_t = Limits::MAXIMUM.workspace_bytes)]
    max_workspace_bytes: u64,
    /// Size of `/tmp`, in bytes.
    #[arg(long, env = "DEFAULT_TMP_BYTES", default_value_t = Limits::DEFAULT.tmp_bytes)]
    default_tmp_bytes: u64,
    /// Largest `/tmp` that a job may ask for, in bytes.
    #[arg(long, env = "MAX_TMP_BYTES", default_value_t = Limits::MAXIMUM.tmp_bytes)]
    max_tmp_bytes: u64,
    /// Captured bytes of each output stream of a job that asks for nothing else.
    #[arg(long, env = "MAX_OUTPUT_BYTES", default_value_t = Limits::DEFAULT.output_bytes)]
    max_output_bytes: u64,
    /// Most captured bytes of each output stream that a job may ask for.
    #[arg(long, env = "OUTPUT_CEILING_BYTES", default_value_t = Limits::MAXIMUM.output_bytes)]
    output_ceiling_bytes: u64,
    /// Output over both streams after which a program is ended as a flood, in bytes.
    #[arg(long, env = "FLOOD_BYTES", default_value_t = 256 << 20)]
    pub flood_bytes: u64,
    /// Most artifacts of one job.
    #[arg(long, env = "ARTIFACT_MAX_FILES", default_value_t = 1000)]
    pub artifact_max_files: u32,
    /// Most bytes of one job's artifacts.
    #[arg(long, env = "ARTIFACT_MAX_BYTES", default_value_t = 64 << 20)]
    pub artifact_max_bytes: u64,
    /// Free space where the state is kept, in bytes. With less, no job and no upload is taken in, and no
    /// artifacts are kept.
    #[arg(long, env = "MIN_FREE_BYTES", default_value_t = 512 << 20)]
    pub min_free_bytes: u64,
}

impl LimitSet {
    pub(super) fn default_limits(&self) -> Limits {
        Limits {
            memory_bytes: self.default_memory_bytes,
            cpus: self.default_cpus,
            pids: self.default_pids,
            open_files: self.default_open_files,
            file_size_bytes: self.default_file_size_bytes,
            workspace_bytes: self.default_workspace_bytes,
            tmp_bytes: self.default_tmp_bytes,
            output_bytes: self.max_output_bytes,
        }
    }

    pub(super) fn max_limits(&self) -> Limits {
        Limits {
            memory_bytes: self.max_memory_bytes,
            cpus: self.max_cpus,
            pids: self.max_pids,
            open_files: self.max_open_files,
            file_size_bytes: self.max_file_size_bytes,
            workspace_bytes: self.max_workspace_bytes,
            tmp_bytes: self.max_tmp_bytes,
            output_bytes: self.output_ceiling_bytes.max(self.max_output_bytes),
        }
    }

    /// The defaults must be grantable, or no job that asks for nothing would run.
    pub(super) fn check(&self, faults: &mut Faults) {
        let nothing = contracts::limits::LimitsRequest::default();
        if let Err(refused) = Limits::granted(&nothing, &self.default_limits(), &self.max_limits())
        {
            for fault in refused.iter() {
                let name = fault.field.trim_start_matches("sandbox.limits.").to_uppercase();
                faults.add(format!("DEFAULT_{name}"), fault.message.clone());
            }
        }
        // The largest that the other end of a link is ever believed.
        let most = Limits::MAXIMUM.output_bytes;
        let ceiling = self.output_ceiling_bytes.max(self.max_output_bytes);
        faults.require(ceiling <= most, "MAX_OUTPUT_BYTES", format!("must be at most {most}"));
    }
}
