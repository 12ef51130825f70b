//! What the creation of a sandbox fixes. Sandboxes of one shape are alike until a job claims one.

use crate::PinnedImage;
use contracts::{code::Language, limits::Limits, sandbox::NetworkPolicy};
use std::{fmt, sync::Arc};

#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub image: Arc<PinnedImage>,
    pub limits: Limits,
    pub network: NetworkPolicy,
    /// It has a sidecar, and by it a way to the gate: for inference, for egress rules, or both.
    pub door: bool,
    /// The language whose kernel runs in it before it is claimed, if one does.
    pub kernel: Option<Language>,
    /// What was put into it before it is claimed, by a name that means the same for ever.
    pub template: Option<Arc<str>>,
}

/// The text that two shapes share exactly when one's sandbox can serve the other's job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeKey(String);

impl Shape {
    /// With the usual limits, and nothing that has to be asked for.
    pub fn plain(image: Arc<PinnedImage>) -> Self {
        Self {
            image,
            limits: Limits::DEFAULT,
            network: NetworkPolicy::None,
            door: false,
            kernel: None,
            template: None,
        }
    }

    /// Output limits are the agent's and come with the command, so they are no part of the key.
    pub fn key(&self) -> ShapeKey {
        let Limits {
            memory_bytes,
            cpus,
            pids,
            open_files,
            file_size_bytes,
            workspace_bytes,
            tmp_bytes,
            output_bytes: _,
        } = &self.limits;
        ShapeKey(format!(
            "{}/m{memory_bytes}-c{cpus}-p{pids}-o{open_files}-f{file_size_bytes}\
             -w{workspace_bytes}-t{tmp_bytes}/{:?}/{}/{}/{}",
            self.image.id,
            self.network,
            self.door,
            self.kernel.map_or("", Language::name),
            self.template.as_deref().unwrap_or_default()
        ))
    }
}

impl ShapeKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShapeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
