//! The task that keeps the pool: makes what is missing when no job needs the engine more, proves
//! that what waits still answers, and gives up what is old, outdated or unwanted.

use super::{
    Free, Pool, Step,
    making::{MakeError, PING_LIMIT, Ready, make_ready},
    stock::Stock,
};
use crate::{Node, chain, templates::why};
use contracts::ImageRef;
use executor::{EngineError, PinnedImage, Sandbox, Shape, ShapeKey};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

/// Jobs may hold up a refill for so long; then one maker works beside them.
const MOST_PATIENCE: Duration = Duration::from_secs(2);
/// Sandboxes that are furnished by templates at a time, beside the others: an install may take
/// minutes, which no other shape shall wait for.
const BUILDERS: usize = 2;

struct Made {
    key: ShapeKey,
    outcome: Result<Ready, MakeError>,
    took: Duration,
}

/// Keeps the pool until the node leaves, and empties it then.
pub(crate) async fn keep(node: Node) {
    if node.inner.sandboxes.pool.is_off() {
        return;
    }
    let (makers, builders) = (JoinSet::new(), JoinSet::new());
    let mut keeper = Keeper { node: &node, makers, builders, held_up_since: None };
    let mut templates = node.inner.templates.watch();
    let mut rounds = tokio::time::interval(node.inner.sandboxes.pool.config.upkeep_every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = keeper.fill();
        tokio::select! {
            () = node.inner.leaving.cancelled() => break,
            _ = rounds.tick() => keeper.look_after().await,
            _ = templates.changed() => keeper.look_after().await,
            Some(made) = keeper.makers.join_next() => keeper.take_in(made.ok()),
            Some(made) = keeper.builders.join_next() => keeper.take_in(made.ok()),
            () = node.inner.sandboxes.pool.changed.notified() => {}
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
    keeper.end().await;
}

struct Keeper<'a> {
    node: &'a Node,
    makers: JoinSet<Made>,
    /// Of those that templates furnish.
    builders: JoinSet<Made>,
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
        let most = self.most_makers(now);
        loop {
            let free = Free {
                makers: self.makers.len() < most,
                builders: self.builders.len() < most.min(BUILDERS),
            };
            if !free.makers && !free.builders {
                break;
            }
            match self.pool().next_step(now, free) {
                None => break,
                Some(Step::GiveUp(sandbox)) => self.node.inner.sandboxes.release(sandbox),
                Some(Step::Make(key, shape, warm_up)) => {
                    let makers = match shape.template {
                        Some(_) => &mut self.builders,
                        None => &mut self.makers,
                    };
                    makers.spawn(make(self.node.clone(), key, shape, warm_up));
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
            Ok(Ready { sandbox, memory_bytes, template }) => {
                self.pool().made(&key, sandbox, memory_bytes, took);
                if let Some(template) = template {
                    template.tell(Ok(()));
                }
            }
            Err(error) => {
                tracing::warn!(shape = %key, error = %chain(&error), "no sandbox for the pool");
                self.pool().failed(&key);
            }
        }
    }

    async fn look_after(&self) {
        let images = self.images().await;
        let furnished = self.furnished().await;
        let config = &self.pool().config;
        let now = Instant::now();
        let mut given_up = Vec::new();
        {
            let mut state = self.pool().state();
            let is_known = |mark: &str| self.node.inner.templates.marked(mark).is_some();
            retire(&mut state.stocks, &images, &is_known);
            for (shape, (min, max)) in &furnished {
                stand_by(&mut state.stocks, shape, (*min, *max), config.half_life, now);
            }
            for configured in &config.shapes {
                if let Some(Ok(image)) = images.get(&configured.image) {
                    let (shape, levels) =
                        (configured.shape(image), (configured.min, configured.max));
                    let stock = stand_by(&mut state.stocks, &shape, levels, config.half_life, now);
                    stock.warm_up.clone_from(&configured.warm_up);
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
        let templates = self.node.inner.templates.all();
        names.extend(templates.iter().filter_map(|template| template.sandbox(self.node).image));
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

    /// The shapes of templates, with how many of each shall wait.
    async fn furnished(&self) -> Vec<(Shape, (usize, usize))> {
        let mut furnished = Vec::new();
        for template in self.node.inner.templates.all() {
            match template.plan(self.node).await {
                Ok(plan) => {
                    furnished.push((template.shape(&plan), template.levels(&self.pool().config)));
                }
                Err(error) if template.may_try().is_ok() => template.tell(Err(why(&error))),
                Err(_) => {}
            }
        }
        furnished
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
        for mut makers in [std::mem::take(&mut self.makers), std::mem::take(&mut self.builders)] {
            while let Some(made) = makers.join_next().await {
                self.take_in(made.ok());
            }
        }
        for sandbox in self.pool().empty() {
            self.node.inner.sandboxes.release(sandbox);
        }
    }
}

/// Marks the stocks whose image or template is another one now, or gone.
fn retire(
    stocks: &mut BTreeMap<ShapeKey, Stock>,
    images: &BTreeMap<ImageRef, Result<Arc<PinnedImage>, EngineError>>,
    is_known: &dyn Fn(&str) -> bool,
) {
    for stock in stocks.values_mut() {
        let mine = &stock.shape.image;
        if stock.shape.template.as_deref().is_some_and(|mark| !is_known(mark)) {
            stock.retired = true;
            continue;
        }
        stock.retired = match images.get(&mine.reference) {
            Some(Ok(now)) => now.id != mine.id,
            Some(Err(error)) => error.is_callers(),
            None => stock.retired,
        };
    }
}

/// Gives a shape its stock that shall be there whatever the demand.
fn stand_by<'a>(
    stocks: &'a mut BTreeMap<ShapeKey, Stock>,
    shape: &Shape,
    (min, max): (usize, usize),
    half_life: Duration,
    now: Instant,
) -> &'a mut Stock {
    let new = || Stock::new(shape.clone(), max, half_life, now);
    let stock = stocks.entry(shape.key()).or_insert_with(new);
    stock.pinned = true;
    (stock.min, stock.max) = (min, max);
    stock
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
    let outcome = make_ready(&node, &shape, warm_up).await;
    Made { key, outcome, took: began.elapsed() }
}
