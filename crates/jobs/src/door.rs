//! A job's or a session's way out: the door of its sandbox, opened to it and closed again.

use crate::{JobError, Node, live::Plan};
use contracts::{
    SandboxId, TemplateName, egress::EgressUsage, inference::InferenceUsage, sandbox::SandboxSpec,
};
use gate::{Budget, Fetching, Tenant, egress::Policy};
use std::sync::Arc;

/// What went out through a door.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) inference: Option<InferenceUsage>,
    pub(crate) egress: Option<EgressUsage>,
}

/// Whether a sandbox has a door at all.
pub(crate) fn is_asked(spec: &SandboxSpec) -> bool {
    spec.use_inference || spec.has_egress()
}

/// Opens the door of a sandbox to whoever claimed it, if a door was asked for.
pub(crate) async fn admit(
    node: &Node,
    sandbox: &SandboxId,
    (task, owner): (&str, &str),
    spec: &SandboxSpec,
    plan: &Plan,
) -> Result<(), JobError> {
    if !is_asked(spec) && plan.installs.is_empty() {
        return Ok(());
    }
    let no_way = |what: &'static str| JobError::fault("gate", what);
    let gate = node.inner.config.gate.as_ref().ok_or_else(|| no_way("the node has no gate"))?;
    let door = node.inner.sandboxes.door(sandbox);
    let door = door.ok_or_else(|| no_way("the sandbox has no door"))?;
    let inference = spec.inference.clone().unwrap_or_default();
    let caps = spec.use_inference.then(|| gate.policy().caps);
    let config = &node.inner.config.egress;
    let none = Policy::default().bounded(config.max_bytes_out, config.max_bytes_in);
    let fetching = Fetching::new(Arc::new(none));
    fetching.set_packages(spec.registries());
    let tenant = Tenant {
        task: task.to_owned(),
        job: owner.to_owned(),
        budget: caps.map(|caps| Budget::new(caps.and(inference.budget))),
        fetching,
        models: inference.models,
    };
    // An adopted one may have other rules by now than its request has.
    let is_first = match spec.has_egress() {
        true => {
            let changed = node.inner.store.egress(sandbox.clone()).await?;
            let rules = changed.unwrap_or_else(|| spec.egress_spec());
            node.inner.rules.admit(sandbox, rules, &door, tenant)
        }
        false => door.admit(tenant),
    };
    if is_first { Ok(()) } else { Err(no_way("the door was opened to somebody before")) }
}

/// Who stands in a door while the node prepares a sandbox for nobody yet.
pub(crate) fn preparing(node: &Node, template: &TemplateName) -> Tenant {
    let config = &node.inner.config.egress;
    let none = Policy::default().bounded(config.max_bytes_out, config.max_bytes_in);
    Tenant {
        task: "template".to_owned(),
        job: template.to_string(),
        budget: None,
        fetching: Fetching::new(Arc::new(none)),
        models: None,
    }
}

/// The rules of a sandbox, its own and the node's that it names, as they are now.
pub(crate) fn rules(node: &Node, spec: &SandboxSpec) -> Result<Option<Arc<Policy>>, JobError> {
    let checked = || node.inner.rules.checked("sandbox.", &spec.egress_spec());
    spec.has_egress().then(checked).transpose().map(|policy| policy.map(Arc::new))
}

/// Ends all that goes through the door of a sandbox, and says what it was.
pub(crate) async fn settle(node: &Node, sandbox: &SandboxId, spec: &SandboxSpec) -> Spent {
    let Some(door) = node.inner.sandboxes.door(sandbox) else { return Spent::default() };
    door.close().await;
    let egress = door.fetched().filter(|_| spec.has_egress());
    Spent { inference: door.usage(), egress }
}
