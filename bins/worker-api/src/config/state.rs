//! Where the node keeps things.

use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "State")]
pub struct State {
    /// Jobs, results, artifacts. Survives restarts; belongs to one node.
    #[arg(long = "worker-api-state-dir", env = "WORKER_API_STATE_DIR", default_value_os_t = state_dir())]
    pub state_dir: PathBuf,

    /// A folder per sandbox, removed with it. Must be visible to Podman under the same path.
    #[arg(long, env = "WORKSPACE_ROOT", default_value_os_t = workspace_root())]
    pub workspace_root: PathBuf,

    /// Between two looks for sandboxes that nobody owns, in seconds.
    #[arg(long, env = "SWEEP_SECONDS", default_value_t = 30)]
    pub sweep_seconds: u64,
}

fn state_dir() -> PathBuf {
    if rustix::process::getuid().is_root() {
        return "/var/lib/pinfold".into();
    }
    let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
    std::env::var_os("XDG_STATE_HOME").map_or_else(home, PathBuf::from).join("pinfold")
}

fn workspace_root() -> PathBuf {
    std::env::temp_dir().join("cynodeai-workspaces")
}
