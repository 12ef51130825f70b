//! Making one sandbox ready to wait: proven to answer, furnished if a template says so, and with its
//! interpreter running.

use crate::{
    JobError, Node, chain, kernels, prepare,
    sandboxes::Owned,
    templates::{self, Template},
};
use contracts::{
    link::{Command, End},
    sandbox::path,
};
use executor::{EngineError, LinkError, Sandbox, Shape};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A waiting agent has nothing else to do than to answer.
pub(super) const PING_LIMIT: Duration = Duration::from_secs(2);
/// A first command that takes longer is none that warms up.
const WARM_UP_LIMIT: Duration = Duration::from_secs(60);
const WARM_UP_OUTPUT_BYTES: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the new sandbox does not answer")]
    Link(#[from] LinkError),
    #[error("the new sandbox did not answer in time")]
    Silent,
    #[error("the shape's first command failed: {0:?}")]
    WarmUp(Option<End>),
    #[error("the interpreter did not start: {0:?}")]
    Kernel(Option<End>),
    #[error(transparent)]
    Template(JobError),
    #[error("the template was changed meanwhile")]
    Outdated,
}

pub(crate) struct Ready {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(super) memory_bytes: u64,
    /// To be told, once the sandbox is where it can be taken from: who hears that a template is ready
    /// asks for one the next moment.
    pub(super) template: Option<Arc<Template>>,
}

/// A sandbox for nobody yet. A template is told when that fails.
pub(crate) async fn make_ready(
    node: &Node,
    shape: &Shape,
    warm_up: Vec<String>,
) -> Result<Ready, MakeError> {
    let template = match &shape.template {
        Some(mark) => Some(node.inner.templates.marked(mark).ok_or(MakeError::Outdated)?),
        None => None,
    };
    match make(node, shape, template.as_deref(), warm_up).await {
        Ok((sandbox, memory_bytes)) => Ok(Ready { sandbox, memory_bytes, template }),
        Err(error) => {
            if let Some(template) = template {
                template.tell(Err(match &error {
                    MakeError::Template(error) => templates::why(error),
                    error => Some(chain(error)),
                }));
            }
            Err(error)
        }
    }
}

async fn make(
    node: &Node,
    shape: &Shape,
    template: Option<&Template>,
    warm_up: Vec<String>,
) -> Result<(Arc<Sandbox>, u64), MakeError> {
    let sandboxes = &node.inner.sandboxes;
    let sandbox = sandboxes.make(shape, Owned::Pool).await?;
    let proven = async {
        prove(&sandbox, shape, warm_up).await?;
        if let Some(template) = template {
            let furnished = template.furnish(node, &sandbox, &shape.image).await;
            furnished.map_err(MakeError::Template)?;
        }
        begin_kernel(&sandbox, shape, template).await
    };
    match proven.await {
        Ok(()) => {
            let memory_bytes = sandbox.counters().await.memory_bytes;
            Ok((sandbox, memory_bytes))
        }
        Err(error) => {
            sandboxes.release(sandbox);
            Err(error)
        }
    }
}

/// Runs the first command and hears the agent once more after it. A shape that names none gets the
/// agent's own program: that a command can run at all is known then, and the job's is not the first
/// for which the kernel sets up the cgroup's pages.
async fn prove(sandbox: &Sandbox, shape: &Shape, warm_up: Vec<String>) -> Result<(), MakeError> {
    let first = match warm_up.is_empty() {
        true => vec![path::AGENT.to_owned(), "--version".to_owned()],
        false => warm_up,
    };
    let end = timeout(WARM_UP_LIMIT, run_first(sandbox, shape, first)).await;
    match end.map_err(|_| MakeError::WarmUp(None))?? {
        Some(End::Code(0)) => {}
        other => return Err(MakeError::WarmUp(other)),
    }
    timeout(PING_LIMIT, sandbox.ping()).await.map_err(|_| MakeError::Silent)??;
    Ok(())
}

async fn begin_kernel(
    sandbox: &Sandbox,
    shape: &Shape,
    template: Option<&Template>,
) -> Result<(), MakeError> {
    let Some(lang) = shape.kernel else { return Ok(()) };
    let more = template.map(|template| template.env(&sandbox.places())).unwrap_or_default();
    let env = environment(sandbox, shape, &more);
    let begun = kernels::begin(sandbox, &shape.image.reference, env, lang);
    match timeout(WARM_UP_LIMIT, begun).await.map_err(|_| MakeError::Kernel(None))?? {
        Some(End::Code(0)) => Ok(()),
        other => Err(MakeError::Kernel(other)),
    }
}

/// What a command or a kernel of nobody's has around it.
fn environment(
    sandbox: &Sandbox,
    shape: &Shape,
    more: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let places = sandbox.places();
    let reserved = prepare::reserved(&places, Vec::new());
    prepare::environment(
        &shape.image.env,
        prepare::Ways::of_door(shape.door),
        more,
        &reserved,
        &places,
    )
}

async fn run_first(
    sandbox: &Sandbox,
    shape: &Shape,
    argv: Vec<String>,
) -> Result<Option<End>, LinkError> {
    let command = Command {
        argv,
        env: environment(sandbox, shape, &BTreeMap::new()),
        cwd: sandbox.places().workspace,
        stdin: false,
        output_bytes: WARM_UP_OUTPUT_BYTES,
        flood_bytes: WARM_UP_OUTPUT_BYTES << 10,
        // Nothing of it may run on beside the job that comes.
        sole: true,
        backstop_ms: WARM_UP_LIMIT.as_millis() as u64,
    };
    let exec = sandbox.start(command).await?;
    Ok(sandbox.read_out(exec).await?.end)
}
