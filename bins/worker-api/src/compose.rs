//! Putting the node together: store, engine, and the node over both.

use crate::config::{Checked, Runtime};
use anyhow::Context;
use executor::{
    Engine,
    direct::{DirectConfig, DirectEngine},
    podman::{PodmanConfig, PodmanEngine, ProxyConfig},
};
use gate::{Gate, Packages, providers::Catalog};
use jobs::Node;
use relay::{Trust, TrustError};
use std::{os::unix::fs::DirBuilderExt, path::Path, sync::Arc};
use store::Store;

/// What the handlers ask.
pub(crate) struct Parts {
    pub(crate) node: Node,
    pub(crate) catalog: Catalog,
}

pub(crate) async fn parts(config: &Checked) -> anyhow::Result<Parts> {
    let state_dir = &config.state.state_dir;
    make_private(state_dir)?;
    let lock_file = lock(state_dir)?;
    let store = Store::open(state_dir)?;
    let node_id = node_id(&store).await?;
    let catalog = catalog(config, store.clone()).await?;
    let engine = engine(config, node_id).await?;
    let gate = match config.policy.clone() {
        Some(policy) => {
            let gate = Gate::new(policy, catalog.watch(), config.outside.clone());
            Some(gate.with_packages(packages(config)?))
        }
        None => None,
    };
    let node = Node::start(config.node(gate), engine, store).await?;
    // The lock lives as long as the process: a second node on the same state would run jobs twice.
    std::mem::forget(lock_file);
    Ok(Parts { node, catalog })
}

async fn catalog(config: &Checked, store: Store) -> anyhow::Result<Catalog> {
    keep_memory_private()?;
    allow_open_files()?;
    let extra = config.providers.provider_ca_file.as_deref();
    let trust = trust(extra, "providers").context("PROVIDER_CA_FILE")?;
    Ok(Catalog::open(store, &config.provider_key, trust).await?)
}

fn packages(config: &Checked) -> anyhow::Result<Packages> {
    let extra = config.packages.packages_ca_file.as_deref();
    let trust = trust(extra, "registries").context("PACKAGES_CA_FILE")?;
    let registries = config.registries.clone();
    let packages = config.packages.config(registries, &config.state.state_dir, trust);
    let folder = packages.folder.display().to_string();
    Packages::open(packages).with_context(|| format!("can't keep packages in {folder}"))
}

/// Whom to believe. A machine that knows nobody can still ask in the clear, unless more was asked for.
fn trust(extra: Option<&Path>, whom: &str) -> Result<Option<Trust>, TrustError> {
    match Trust::load(extra) {
        Ok(trust) => Ok(Some(trust)),
        Err(error) if extra.is_some() => Err(error),
        Err(error) => {
            tracing::warn!(error = %jobs::chain(&error), "{whom} can't be reached by https");
            Ok(None)
        }
    }
}

async fn engine(config: &Checked, node_id: String) -> anyhow::Result<Arc<dyn Engine>> {
    let workspace_root = config.state.workspace_root.clone();
    let agent = config.sandbox.agent_path.clone();
    let fencing = config.sandbox.fencing();
    Ok(match config.sandbox.container_runtime {
        Runtime::Podman => Arc::new(
            PodmanEngine::open(PodmanConfig {
                socket: config.podman_socket.clone(),
                node_id,
                agent,
                workspace_root,
                state_dir: config.state.state_dir.clone(),
                images: config.images(),
                proxy: proxy(config),
                fencing,
            })
            .await
            .with_context(|| format!("Podman at {}", config.podman_socket.display()))?,
        ),
        Runtime::Direct => {
            make_private(&workspace_root)?;
            Arc::new(DirectEngine::open(DirectConfig { node_id, agent, workspace_root, fencing })?)
        }
    })
}

/// The gate's bounds are its sidecars' too.
fn proxy(config: &Checked) -> Option<ProxyConfig> {
    let (image, policy) = (config.proxy_image.clone()?, config.policy.as_ref()?);
    Some(ProxyConfig { image, max_body_bytes: policy.max_body_bytes, body_time: policy.body_time })
}

/// Providers' keys are in our memory from here on: no core file of ours, and no other process of our
/// user's, gets to see it.
fn keep_memory_private() -> anyhow::Result<()> {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)
        .and_then(|()| {
            let never = rustix::process::DumpableBehavior::NotDumpable;
            rustix::process::set_dumpable_behavior(never)
        })
        .context("the node's memory can't be kept out of core files")
}

/// Each sandbox takes three descriptors of ours, each connection one: what a shell allows by default is used up by
/// the sessions that the defaults allow.
fn allow_open_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let allowed = getrlimit(Resource::Nofile);
    let most = rustix::process::Rlimit { current: allowed.maximum, ..allowed };
    setrlimit(Resource::Nofile, most).context("the node can't open as many files as it may")
}

/// The node's own name on its containers, drawn once and kept.
async fn node_id(store: &Store) -> anyhow::Result<String> {
    if let Some(id) = store.meta("node_id").await? {
        return Ok(id);
    }
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    store.set_meta("node_id", id.clone()).await?;
    Ok(id)
}

fn make_private(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("can't make {}", folder.display()))
}

fn lock(state_dir: &Path) -> anyhow::Result<std::fs::File> {
    let path = state_dir.join("lock");
    let file =
        std::fs::File::create(&path).with_context(|| format!("can't make {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another worker-api uses {}", state_dir.display()))?;
    Ok(file)
}
