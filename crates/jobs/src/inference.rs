//! A job's or a session's way to inference: the door of its sandbox, opened to it and closed again.

use crate::{JobError, Node};
use contracts::{SandboxId, TaskId, inference::InferenceUsage, sandbox::SandboxSpec};
use gate::{Budget, Tenant};

/// Opens the door of a sandbox to whoever claimed it, if that one has asked for inference.
pub(crate) fn admit(
    node: &Node,
    sandbox: &SandboxId,
    spec: &SandboxSpec,
    task: &TaskId,
    owner: &str,
) -> Result<(), JobError> {
    if !spec.use_inference {
        return Ok(());
    }
    let no_way = |what: &'static str| JobError::fault("gate", what);
    let gate = node.inner.config.gate.as_ref().ok_or_else(|| no_way("the node has no gate"))?;
    let door = node.inner.sandboxes.door(sandbox);
    let door = door.ok_or_else(|| no_way("the sandbox has no door"))?;
    let spec = spec.inference.clone().unwrap_or_default();
    let tenant = Tenant {
        task: task.to_string(),
        job: owner.to_owned(),
        budget: Budget::new(gate.policy().caps.and(spec.budget)),
        models: spec.models,
    };
    match door.admit(tenant) {
        true => Ok(()),
        false => Err(no_way("the door was opened to somebody before")),
    }
}

/// Ends every call of a sandbox, and says what they cost.
pub(crate) async fn settle(node: &Node, sandbox: &SandboxId) -> Option<InferenceUsage> {
    let door = node.inner.sandboxes.door(sandbox)?;
    door.close().await;
    door.usage()
}
