//! The task that keeps the pool: makes what is missing when no job needs the engine more, proves
//! that what waits still answers, and gives up what is old, outdated or unwanted.

use super::{Pool, Step, config::ConfiguredShape, stock::Stock};
use crate::{Node, chain, kernels, sandboxes::Owned};
use contracts::{
    ImageRef,
    link::{Command, End},
    sandbox::path,
};
use executor::{EngineError, LinkError, PinnedImage, Sandbox, Shape, ShapeKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Jobs may hold up a refill for so long; then one maker works beside them.
const MOST_PATIENCE: Duration = Duration::from_secs(2);
/// A waiting agent has nothing else to do than to answer.
const PING_LIMIT: Duration = Duration::from_secs(2);
/// A first command that takes longer is none that warms up.
const WARM_UP_LIMIT: Duration = Duration::from_secs(60);
const WARM_UP_OUTPUT_BYTES: u64 = 4096;

#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the new sandbox does not answer")]
    Link(#[from] LinkError),
    #[error("the new sandbox did not answer in time")]
    Silent,
    #[error("the shape's first command failed: {0:?}")]
    WarmUp(Option<End>),
}

struct Made {
    key: ShapeKey,
    outcome: Result<Ready, MakeError>,
    took: Duration,
}

struct Ready {
    sandbox: Arc<Sandbox>,
    memory_bytes: u64,
}

/// Keeps the pool until the node leaves, and empties it then.
pub(crate) async fn keep(node: Node) {
    if node.inner.sandboxes.pool.is_off() {
        return;
    }
    let mut keeper = Keeper { node: &node, makers: JoinSet::new(), held_up_since: None };
    let mut rounds = tokio::time::interval(node.inner.sandboxes.pool.config.upkeep_every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = keeper.fill();
        tokio::select! {
            () = node.inner.leaving.cancelled() => break,
            _ = rounds.tick() => keeper.look_after().await,
            Some(made) = keeper.makers.join_next() => keeper.take_in(made.ok()),
            () = node.inner.sandboxes.pool.changed.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
    keeper.end().await;
}

struct Keeper<'a> {
    node: &'a Node,
    makers: JoinSet<Made>,
    /// Jobs have been making their own sandboxes since then.
    held_up_since: Option<Instant>,
}

impl Keeper<'_> {
    fn pool(&self) -> &Pool {
        &self.node.inner.sandboxes.pool
    }

    /// Starts what may be started, and says when to look again.
    fn fill(&mut self) -> Instant {
        let now = Instant::now();
        let later = now + self.pool().config.upkeep_every;
        if let Some(until) = self.pool().rush.over_at(now) {
            return until;
        }
        while self.makers.len() < self.most_makers(now) {
            match self.pool().next_step(now) {
                None => break,
                Some(Step::GiveUp(sandbox)) => self.node.inner.sandboxes.release(sandbox),
                Some(Step::Make(key, shape, warm_up)) => {
                    self.makers.spawn(make(self.node.clone(), key, shape, warm_up));
                }
            }
        }
        self.pool().next_try(now).map_or(later, |at| at.min(later))
    }

    /// Jobs first: while one makes its own sandbox, the pool waits, but not for ever.
    fn most_makers(&mut self, now: Instant) -> usize {
        if !self.pool().is_urgent() {
            self.held_up_since = None;
            return self.pool().config.makers;
        }
        let since = *self.held_up_since.get_or_insert(now);
        usize::from(now.duration_since(since) >= MOST_PATIENCE)
    }

    /// `None` is a maker that panicked: the node's own bug, told by the panic.
    fn take_in(&self, made: Option<Made>) {
        let Some(Made { key, outcome, took }) = made else { return };
        match outcome {
            Ok(Ready { sandbox, memory_bytes }) => {
                self.pool().made(&key, sandbox, memory_bytes, took);
            }
            Err(error) => {
                tracing::warn!(shape = %key, error = %chain(&error), "no sandbox for the pool");
                self.pool().failed(&key);
            }
        }
    }

    async fn look_after(&self) {
        let images = self.images().await;
        let config = &self.pool().config;
        let now = Instant::now();
        let mut given_up = Vec::new();
        {
            let mut state = self.pool().state();
            retire(&mut state.stocks, &images);
            for configured in &config.shapes {
                if let Some(Ok(image)) = images.get(&configured.image) {
                    stand_by(&mut state.stocks, configured, image, config.half_life, now);
                }
            }
            for stock in state.stocks.values_mut() {
                given_up.extend(outlived(stock, config.max_age, now));
            }
            state.stocks.retain(|_, stock| !stock.is_over(now));
        }
        given_up.into_iter().for_each(|sandbox| self.node.inner.sandboxes.release(sandbox));
        self.check().await;
    }

    /// What each image of the pool means now.
    async fn images(&self) -> BTreeMap<ImageRef, Result<Arc<PinnedImage>, EngineError>> {
        let mut names: BTreeSet<ImageRef> =
            self.pool().config.shapes.iter().map(|shape| shape.image.clone()).collect();
        names.extend(
            self.pool().state().stocks.values().map(|stock| stock.shape.image.reference.clone()),
        );
        let mut images = BTreeMap::new();
        for name in names {
            let pinned = self.node.inner.engine.pin_anew(&name).await;
            if let Err(error) = &pinned {
                tracing::debug!(image = %name, error = %chain(error), "an image of the pool");
            }
            images.insert(name, pinned);
        }
        images
    }

    /// Asks those for an answer that have not given one for a while.
    async fn check(&self) {
        let due: Vec<(ShapeKey, Arc<Sandbox>)> = {
            let state = self.pool().state();
            let every = self.pool().config.check_every;
            let all = state
                .stocks
                .iter()
                .flat_map(|(key, stock)| stock.waiting.iter().map(move |waiting| (key, waiting)));
            all.filter(|(_, waiting)| waiting.checked.elapsed() >= every)
                .map(|(key, waiting)| (key.clone(), Arc::clone(&waiting.sandbox)))
                .collect()
        };
        for (key, sandbox) in due {
            let answered = matches!(timeout(PING_LIMIT, sandbox.ping()).await, Ok(Ok(())));
            let memory_bytes = sandbox.counters().await.memory_bytes;
            let mut state = self.pool().state();
            let Some(stock) = state.stocks.get_mut(&key) else { continue };
            let place = stock.waiting.iter().position(|w| w.sandbox.id() == sandbox.id());
            // One that was claimed meanwhile is its job's business.
            let Some(place) = place else { continue };
            if answered {
                stock.waiting[place].checked = Instant::now();
                stock.waiting[place].memory_bytes = memory_bytes;
            } else {
                stock.waiting.remove(place);
                stock.counts.lost += 1;
                drop(state);
                tracing::warn!(sandbox = %sandbox.id(), "a waiting sandbox fell silent");
                self.node.inner.sandboxes.release(sandbox);
            }
        }
    }

    async fn end(mut self) {
        while let Some(made) = self.makers.join_next().await {
            self.take_in(made.ok());
        }
        for sandbox in self.pool().empty() {
            self.node.inner.sandboxes.release(sandbox);
        }
    }
}

/// Marks the stocks whose image is another one now, or gone.
fn retire(
    stocks: &mut BTreeMap<ShapeKey, Stock>,
    images: &BTreeMap<ImageRef, Result<Arc<PinnedImage>, EngineError>>,
) {
    for stock in stocks.values_mut() {
        let mine = &stock.shape.image;
        stock.retired = match images.get(&mine.reference) {
            Some(Ok(now)) => now.id != mine.id,
            Some(Err(error)) => error.is_callers(),
            None => stock.retired,
        };
    }
}

/// Gives a configured shape its stock, under the image's present id.
fn stand_by(
    stocks: &mut BTreeMap<ShapeKey, Stock>,
    configured: &ConfiguredShape,
    image: &Arc<PinnedImage>,
    half_life: Duration,
    now: Instant,
) {
    let shape = Shape {
        image: Arc::clone(image),
        limits: configured.limits.clone(),
        network: configured.network,
        door: configured.door,
        kernel: configured.kernel,
    };
    let new = || Stock::new(shape.clone(), configured.max, half_life, now);
    let stock = stocks.entry(shape.key()).or_insert_with(new);
    stock.pinned = true;
    (stock.min, stock.max) = (configured.min, configured.max);
    stock.warm_up.clone_from(&configured.warm_up);
}

/// Those that died, and those that waited too long.
fn outlived(stock: &mut Stock, max_age: Duration, now: Instant) -> Vec<Arc<Sandbox>> {
    let mut gone = Vec::new();
    let (mut lost, mut replaced) = (0, 0);
    stock.waiting.retain(|waiting| {
        let dead = waiting.sandbox.is_lost();
        let old = now.duration_since(waiting.since) >= max_age;
        if dead || old {
            lost += u64::from(dead);
            replaced += u64::from(!dead);
            gone.push(Arc::clone(&waiting.sandbox));
        }
        !dead && !old
    });
    stock.counts.lost += lost;
    stock.counts.replaced += replaced;
    gone
}

async fn make(node: Node, key: ShapeKey, shape: Shape, warm_up: Vec<String>) -> Made {
    let began = Instant::now();
    let outcome = made_ready(&node, &shape, warm_up).await;
    Made { key, outcome, took: began.elapsed() }
}

async fn made_ready(node: &Node, shape: &Shape, warm_up: Vec<String>) -> Result<Ready, MakeError> {
    let sandboxes = &node.inner.sandboxes;
    let sandbox = sandboxes.make(shape, Owned::Pool).await?;
    match prove(&sandbox, shape, warm_up).await {
        Ok(()) => {
            let memory_bytes = sandbox.counters().await.memory_bytes;
            Ok(Ready { sandbox, memory_bytes })
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
    if let Some(lang) = shape.kernel {
        let env = environment(sandbox, shape);
        let begun = kernels::begin(sandbox, &shape.image.reference, env, lang);
        match timeout(WARM_UP_LIMIT, begun).await.map_err(|_| MakeError::WarmUp(None))?? {
            Some(End::Code(0)) => {}
            other => return Err(MakeError::WarmUp(other)),
        }
    }
    Ok(())
}

/// What a command or a kernel of nobody's has around it.
fn environment(sandbox: &Sandbox, shape: &Shape) -> Vec<(String, String)> {
    let places = sandbox.places();
    let reserved = crate::prepare::reserved(&places, Vec::new());
    crate::prepare::environment(
        &shape.image.env,
        crate::prepare::Ways::of_door(shape.door),
        &BTreeMap::new(),
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
        env: environment(sandbox, shape),
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
