//! What runs the sandboxes, and which images may run in them.

use contracts::{Faults, ImageRef, landlock::LandlockMode};
use executor::Fencing;
use std::path::PathBuf;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sandboxes")]
pub struct Sandbox {
    /// `podman`, or `direct` for development: no sandbox at all.
    #[arg(long, env = "CONTAINER_RUNTIME", default_value = "podman")]
    pub container_runtime: Runtime,

    /// Podman's socket, as `unix:///…`. By default the user's own, or the system's for root.
    #[arg(long, env = "CONTAINER_HOST")]
    container_host: Option<String>,

    /// The static `sandbox-agent` binary. By default the one beside this program.
    #[arg(long, env = "AGENT_PATH", default_value_os_t = beside_this_program())]
    pub agent_path: PathBuf,

    /// Landlock around the code in each sandbox, besides the container and instead of one: `off`,
    /// `best_effort` as far as the kernel has it, or `hard`, which runs nothing without it.
    #[arg(long, env = "LANDLOCK", default_value = "best_effort")]
    landlock: Landlock,

    /// Paths that code of the `direct` runtime may read beside the baseline, separated by commas.
    #[arg(long, env = "LANDLOCK_READ", value_delimiter = ',')]
    landlock_read: Vec<PathBuf>,

    /// Paths that code of the `direct` runtime may write beside its own folders, separated by commas.
    #[arg(long, env = "LANDLOCK_WRITE", value_delimiter = ',')]
    landlock_write: Vec<PathBuf>,

    /// The image of a job that names none.
    #[arg(long, env = "DEFAULT_IMAGE", default_value = "localhost/pinfold/base:latest")]
    default_image: String,

    /// Globs over image references, separated by commas. None allows every image on this host.
    #[arg(long, env = "IMAGE_ALLOW", value_delimiter = ',')]
    pub image_allow: Vec<String>,

    /// Fetch an allowed image that is not on this host. Without it, a missing image is refused.
    #[arg(long, env = "IMAGE_PULL_MISSING")]
    pub image_pull_missing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    Podman,
    Direct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Landlock {
    Off,
    BestEffort,
    Hard,
}

impl Sandbox {
    pub(crate) fn fencing(&self) -> Fencing {
        let mode = match self.landlock {
            Landlock::Off => LandlockMode::Off,
            Landlock::BestEffort => LandlockMode::BestEffort,
            Landlock::Hard => LandlockMode::Hard,
        };
        Fencing { mode, read: self.landlock_read.clone(), write: self.landlock_write.clone() }
    }

    /// Paths that mean nothing where they are set are a mistake that would look like protection.
    pub(super) fn check_fencing(&self, faults: &mut Faults) {
        let direct = self.container_runtime == Runtime::Direct;
        for (name, paths) in
            [("LANDLOCK_READ", &self.landlock_read), ("LANDLOCK_WRITE", &self.landlock_write)]
        {
            faults.require(
                direct || paths.is_empty(),
                name,
                "is for CONTAINER_RUNTIME=direct only",
            );
            let absolute = paths.iter().all(|path| path.is_absolute());
            faults.require(absolute, name, "must hold absolute paths");
        }
    }

    pub(super) fn default_image(&self, faults: &mut Faults) -> Option<ImageRef> {
        let parsed = ImageRef::new(&*self.default_image);
        parsed.map_err(|error| faults.add("DEFAULT_IMAGE", error.to_string())).ok()
    }

    pub(super) fn socket(&self, faults: &mut Faults) -> PathBuf {
        match &self.container_host {
            Some(url) => match url.strip_prefix("unix://") {
                Some(path) if path.starts_with('/') => path.into(),
                _ => {
                    faults.add("CONTAINER_HOST", "must be unix:///… with an absolute path");
                    PathBuf::new()
                }
            },
            None => default_socket(),
        }
    }

    pub(super) fn find_agent(&self, faults: &mut Faults) {
        let message = format!("{} is not a file", self.agent_path.display());
        faults.require(self.agent_path.is_file(), "AGENT_PATH", message);
    }
}

fn beside_this_program() -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    here.with_file_name("sandbox-agent")
}

fn default_socket() -> PathBuf {
    let user = rustix::process::getuid();
    match user.is_root() {
        true => "/run/podman/podman.sock".into(),
        false => format!("/run/user/{}/podman/podman.sock", user.as_raw()).into(),
    }
}
