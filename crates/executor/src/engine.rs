//! The boundary between a job and whatever isolates it: ten verbs, three implementations.
//!
//! `podman` is the product, `direct` runs without any wall for development, `fake` is scripted for
//! tests of what lies above. All three hand out the same [`Sandbox`], because all three speak the
//! same link with an agent; they differ in what stands around it.

use crate::{EngineError, Sandbox, Shape};
use async_trait::async_trait;
use contracts::{Faults, ImageRef, SandboxId, limits::Limits};
use std::{collections::BTreeMap, sync::Arc};

#[async_trait]
pub trait Engine: Send + Sync + 'static {
    fn kind(&self) -> EngineKind;

    /// What the engine says that it is.
    fn version(&self) -> String;

    /// Says whether sandboxes could be made now. Cheap enough for a readiness probe.
    async fn ready(&self) -> Result<(), EngineError>;

    /// The limits among these that this host can't hold, each with the reason.
    fn unenforceable(&self, limits: &Limits) -> Faults;

    /// Names the one image that a reference means now, pulling it if the policy says so.
    async fn pin(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError>;

    /// The same, whatever was found before. Never pulls: for who keeps an eye on images that were
    /// pinned already.
    async fn pin_anew(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        self.pin(image).await
    }

    /// Whether sandboxes with a sidecar could be made, as far as can be known before.
    async fn sidecar(&self) -> Result<(), EngineError> {
        let reason = format!("the engine {} has none", self.kind().name());
        Err(EngineError::Unsupported { what: "inference".to_owned(), reason })
    }

    /// Makes a started sandbox whose agent waits for work. Nothing remains of a failed creation.
    async fn create(
        &self,
        id: SandboxId,
        shape: &Shape,
        labels: &Labels,
    ) -> Result<Sandbox, EngineError>;

    /// Takes over a sandbox that an earlier life of this node left running.
    async fn adopt(&self, id: &SandboxId) -> Result<Sandbox, EngineError>;

    /// Everything of this node that exists, running or not.
    async fn list(&self) -> Result<Vec<Found>, EngineError>;

    /// Ends and removes a sandbox with all that belongs to it. Removing what is gone succeeds.
    async fn remove(&self, id: &SandboxId) -> Result<(), EngineError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Podman,
    Direct,
    Fake,
}

impl EngineKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Direct => "direct",
            Self::Fake => "fake",
        }
    }
}

/// Labels on a sandbox beside the engine's own.
pub type Labels = BTreeMap<String, String>;

/// An image as it was when it was looked at: the id can't move under a running pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedImage {
    pub reference: ImageRef,
    /// Podman's immutable id of the image.
    pub id: String,
    /// The image's environment, checked: each entry has a name and no wildcard.
    pub env: Vec<(String, String)>,
    /// What the image would run by itself: ENTRYPOINT and CMD.
    pub command: Vec<String>,
}

/// A sandbox that an engine knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub sandbox: SandboxId,
    /// The engine's name for it: a container id, or a process id.
    pub engine_id: String,
    pub running: bool,
    pub image: String,
    /// Seconds since the epoch.
    pub created_at: i64,
    pub labels: Labels,
}

impl Found {
    /// What is left of a sandbox that the engine itself has forgotten.
    pub(crate) fn remains(sandbox: SandboxId) -> Self {
        Self {
            sandbox,
            engine_id: String::new(),
            running: false,
            image: String::new(),
            created_at: 0,
            labels: Labels::new(),
        }
    }
}
