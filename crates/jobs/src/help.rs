//! The text that tells the code's author what this sandbox can do: made anew for whoever claims it.
//!
//! It says what holds for this very job or session, and nothing of the node. Its readers are
//! language models as much as people: short, plain, with the values to use.

mod sections;

use crate::{Node, chain, live::Plan};
use contracts::{inference::Caps, sandbox::SandboxSpec};
use executor::{EngineKind, Places, Sandbox};
use gate::Offer;
use std::time::Duration;

/// Whom the sandbox serves.
pub(crate) enum Owner<'a> {
    /// Ends with its command, after so long at the latest.
    Job {
        timeout: Duration,
        artifacts: &'a [String],
    },
    Session {
        idle: Duration,
        lifetime: Duration,
    },
    /// One piece of code.
    Code {
        timeout: Duration,
    },
}

/// All that the text is made of.
struct Facts<'a> {
    owner: Owner<'a>,
    engine: EngineKind,
    plan: &'a Plan,
    places: &'a Places,
    inference: Option<Inference>,
}

struct Inference {
    offer: Offer,
    caps: Caps,
}

/// Puts the text where `PINFOLD_HELP` points. Code runs without it, so a failure is told to the
/// operator only.
pub(crate) async fn explain(
    node: &Node,
    sandbox: &Sandbox,
    spec: &SandboxSpec,
    plan: &Plan,
    owner: Owner<'_>,
) {
    let gate = node.inner.config.gate.as_ref().filter(|_| spec.use_inference);
    let inference = gate.map(|gate| {
        let asked = spec.inference.clone().unwrap_or_default();
        let caps = gate.policy().caps.and(asked.budget);
        Inference { offer: gate.offer(asked.models.as_deref()), caps }
    });
    let (engine, places) = (node.inner.engine.kind(), &sandbox.places());
    let text = sections::text(&Facts { owner, engine, plan, places, inference });
    if let Err(error) = sandbox.explain(&text).await {
        tracing::warn!(sandbox = %sandbox.id(), error = %chain(&error), "a sandbox has no help");
    }
}

#[cfg(test)]
mod tests;
