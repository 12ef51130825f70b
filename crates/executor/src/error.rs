//! How an engine or a link can fail, in the terms that a caller can act on.

use contracts::{ImageRef, SandboxId, link::FileError};
use std::time::Duration;

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine itself does not answer.
    #[error("the container engine is unreachable")]
    Unreachable(#[source] Source),
    /// The caller named an image that this node does not have and may not pull.
    #[error("image {image} is not on this node: {reason}")]
    ImageMissing { image: ImageRef, reason: String },
    /// The caller named an image that the node's policy forbids, or that can't be run safely.
    #[error("image {image} is refused: {reason}")]
    ImageRefused { image: ImageRef, reason: String },
    /// The node can't do what the shape asks for.
    #[error("this node can't provide {what}: {reason}")]
    Unsupported { what: String, reason: String },
    /// A step of making or removing a sandbox failed.
    #[error("sandbox {step} failed")]
    Step {
        step: &'static str,
        #[source]
        source: Source,
    },
    #[error("sandbox {step} took longer than {limit:?}")]
    Slow { step: &'static str, limit: Duration },
    #[error("sandbox {0} does not run any more")]
    Gone(SandboxId),
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl EngineError {
    pub fn step(step: &'static str, source: impl Into<Source>) -> Self {
        Self::Step { step, source: source.into() }
    }

    /// True when the request is at fault and another one could succeed.
    pub fn is_callers(&self) -> bool {
        matches!(
            self,
            Self::ImageMissing { .. } | Self::ImageRefused { .. } | Self::Unsupported { .. }
        )
    }

    /// The phase for the problem that a caller reads.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "engine",
            Self::ImageMissing { .. } | Self::ImageRefused { .. } => "image",
            Self::Unsupported { .. } => "admission",
            Self::Step { step, .. } | Self::Slow { step, .. } => step,
            Self::Gone(_) => "sandbox",
            Self::Link(_) => "link",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the link to the agent is lost")]
    Lost,
    #[error("the agent speaks version {theirs} of the link, this node speaks {ours}")]
    Version { theirs: u16, ours: u16 },
    #[error("the agent broke the link's protocol: {0}")]
    Protocol(&'static str),
    #[error("the link failed")]
    Io(#[from] std::io::Error),
    #[error("a frame of the link was refused")]
    Frame(#[from] contracts::link::FrameError),
    #[error("a file request failed inside the sandbox: {0:?}")]
    File(FileError),
    #[error("what the sandbox sent is more than was asked for")]
    TooMuch,
}
