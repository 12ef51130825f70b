//! The node's configuration: one topic, one struct, one file. Every field is a flag and a variable.

mod egress;
mod images;
mod inference;
mod limits;
mod listen;
mod packages;
mod pool;
mod providers;
mod sessions;
mod state;

pub use egress::Egress;
pub use images::{Runtime, Sandbox};
pub use inference::InferenceSettings;
pub use limits::LimitSet;
pub use listen::{Listen, Log, LogFormat};
pub use packages::{PackagesSettings, Registries};
pub use pool::PoolSettings;
pub use providers::Providers;
pub use sessions::{JobTimes, SessionTimes};
pub use state::State;

use contracts::{Faults, ImageRef, code::Language};
use executor::podman::{ImagePolicy, Pull};
use gate::{Gate, Outside, Policy, providers::KeySource};
use jobs::{EgressConfig, NodeConfig, PoolConfig};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use store::Kept;

/// The worker node of Pinfold: runs untrusted jobs in sealed Podman sandboxes, for a dispatcher that
/// asks over HTTP.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "worker-api", version, about, max_term_width = 100)]
pub struct Config {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub sandbox: Sandbox,
    #[command(flatten)]
    pub times: JobTimes,
    #[command(flatten)]
    pub limits: LimitSet,
    #[command(flatten)]
    pub sessions: SessionTimes,
    #[command(flatten)]
    pub inference: InferenceSettings,
    #[command(flatten)]
    pub egress: Egress,
    #[command(flatten)]
    pub packages: PackagesSettings,
    #[command(flatten)]
    pub pool: PoolSettings,
    #[command(flatten)]
    pub providers: Providers,
    #[command(flatten)]
    pub state: State,
    #[command(flatten)]
    pub log: Log,
}

/// A configuration whose faults are all out.
pub struct Checked {
    pub listen: Listen,
    pub sandbox: Sandbox,
    pub times: JobTimes,
    pub limits: LimitSet,
    pub sessions: SessionTimes,
    pub session_images: BTreeMap<Language, ImageRef>,
    pub policy: Option<Policy>,
    pub outside: Outside,
    pub egress: EgressConfig,
    pub packages: PackagesSettings,
    pub registries: Registries,
    pub egress_settings: Egress,
    pub proxy_image: Option<ImageRef>,
    pub pool: PoolConfig,
    pub providers: Providers,
    pub state: State,
    pub token: String,
    /// None: nobody may change providers and routes.
    pub admin_token: Option<String>,
    pub provider_key: KeySource,
    pub default_image: ImageRef,
    pub podman_socket: PathBuf,
}

impl Config {
    /// Looks at everything, and tells all that is wrong at once.
    pub fn checked(self) -> Result<Checked, Faults> {
        let mut faults = Faults::default();
        let token = self.listen.token(&mut faults);
        let admin_token = self.providers.admin_token(token.as_deref(), &mut faults);
        let provider_key = self.providers.key_source(&self.state.state_dir, &mut faults);
        let default_image = self.sandbox.default_image(&mut faults);
        let podman_socket = self.sandbox.socket(&mut faults);
        self.sandbox.find_agent(&mut faults);
        self.sandbox.check_fencing(&mut faults);
        self.limits.check(&mut faults);
        self.times.check(&mut faults);
        self.sessions.check(self.listen.listen_addr, &mut faults);
        let session_images = self.sessions.images(&mut faults);
        let outside = self.egress.outside(&mut faults);
        let egress = self.egress.read(&mut faults);
        let registries = self.packages.read(&mut faults);
        let inference = match self.sandbox.container_runtime {
            Runtime::Podman => self.inference.read(&mut faults),
            // Whoever runs without a wall has the host's network as it is.
            Runtime::Direct => None,
        };
        let (policy, proxy_image) = inference.unzip();
        let pool = match (&default_image, self.sandbox.container_runtime) {
            (Some(image), Runtime::Podman) => {
                let (default, most) = (self.limits.default_limits(), self.limits.max_limits());
                self.pool.read(image, &default, &most, policy.is_some(), &mut faults)
            }
            // Without a wall, a sandbox is made in no time; and there is no image to keep one of.
            _ => PoolConfig::off(),
        };
        match (token, default_image) {
            (Some(token), Some(default_image)) if faults.is_empty() => Ok(Checked {
                listen: self.listen,
                sandbox: self.sandbox,
                times: self.times,
                limits: self.limits,
                sessions: self.sessions,
                session_images,
                policy,
                outside,
                egress,
                packages: self.packages,
                registries,
                egress_settings: self.egress,
                proxy_image,
                pool,
                providers: self.providers,
                state: self.state,
                token,
                admin_token,
                provider_key,
                default_image,
                podman_socket,
            }),
            _ => Err(faults),
        }
    }
}

impl Checked {
    pub(crate) fn images(&self) -> ImagePolicy {
        let pull = if self.sandbox.image_pull_missing { Pull::Missing } else { Pull::Never };
        ImagePolicy { pull, allow: self.sandbox.image_allow.clone() }
    }

    pub(crate) fn node(&self, gate: Option<Gate>) -> NodeConfig {
        NodeConfig {
            default_image: self.default_image.clone(),
            default_timeout: Duration::from_secs(self.times.default_timeout_seconds),
            max_timeout: Duration::from_secs(self.times.max_timeout_seconds),
            default_limits: self.limits.default_limits(),
            max_limits: self.limits.max_limits(),
            max_running: self.times.max_running,
            max_queued: self.times.max_queued,
            term_grace: Duration::from_millis(self.times.term_grace_ms),
            stop_grace: Duration::from_secs(self.times.stop_grace_seconds),
            flood_bytes: self.limits.flood_bytes,
            retention: Duration::from_secs(self.times.retention_seconds),
            retention_most: Kept {
                count: self.times.retention_max_count,
                bytes: self.times.retention_max_bytes,
            },
            artifact_max_files: self.limits.artifact_max_files,
            artifact_max_bytes: self.limits.artifact_max_bytes,
            min_free_bytes: self.limits.min_free_bytes,
            upload_max_bytes: self.listen.max_upload_bytes,
            upload_keep: Duration::from_secs(3600),
            session_max: self.sessions.session_max,
            session_idle: Duration::from_secs(self.sessions.session_idle_seconds),
            session_lifetime: Duration::from_secs(self.sessions.session_lifetime_seconds),
            session_freeze_after: self.sessions.freeze_after(),
            session_images: self.session_images.clone(),
            cell_timeout: Duration::from_secs(self.sessions.session_code_seconds),
            gate,
            egress: self.egress.clone(),
            pool: self.pool.clone(),
            sweep_every: Duration::from_secs(self.state.sweep_seconds),
            state_dir: self.state.state_dir.clone(),
        }
    }
}
