//! The interpreters of one sandbox, seen from the host: which ones run, and the code they are given.
//!
//! ```text
//!   execute ─► (waits for the context) ─► kernel there? ──no──► started
//!                                             │yes                 │
//!                                             └────────► cell ◄────┘
//!      done ◄── deadline: interrupted, and killed with the kernel if that does not help
//!      died ◄── its end is told once, by the cell that it hit; the next cell gets a new kernel
//! ```

mod cell;
mod drivers;
mod run;
mod stdin;
mod verdict;

pub(crate) use cell::{CellEnd, LiveCell};
pub use cell::{CellEvent, CellNews};
pub(crate) use drivers::Driver;
pub(crate) use run::Order;

use crate::{JobError, live::Plan};
use contracts::{
    CellId, ImageRef,
    code::Language,
    link::{
        End,
        kernel::{Cell, Input},
    },
};
use executor::{LinkError, Sandbox};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Contexts in one session, below what the agent allows.
const MAX_CONTEXTS: usize = 8;

/// Code that may wait for one context.
const MAX_WAITING: usize = 16;

/// Ended code that can be asked for again: so many pieces, and the bytes of all but the last.
const MAX_KEPT_CELLS: usize = 32;
const MAX_KEPT_BYTES: usize = 4 << 20;

/// Ended cells that the agent keeps for a node that dies before it has told their callers.
const KEPT_BY_AGENT: usize = 2;

pub(crate) type Env = Vec<(String, String)>;

pub(crate) struct Kernels {
    sandbox: Arc<Sandbox>,
    image: ImageRef,
    /// What a kernel starts with.
    env: Env,
    output_bytes: u64,
    /// What the cgroup had counted when it was last looked at.
    oom_seen: AtomicU64,
    /// Where libraries are that were installed since: told with each cell.
    libraries: Mutex<Env>,
    contexts: Mutex<BTreeMap<String, Arc<Context>>>,
    cells: Mutex<VecDeque<Arc<LiveCell>>>,
    /// Ids of ended cells that the agent was not told to forget.
    kept: Mutex<VecDeque<u32>>,
}

/// One interpreter, and the queue before it.
#[derive(Default)]
pub(crate) struct Context {
    kernel: tokio::sync::Mutex<Kernel>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Kernel {
    runs: bool,
    /// One before it died.
    replaces: bool,
    /// It was started before it was known for whom: what it has to be told first.
    untold: Env,
}

/// Which interpreter: a language's own, or a named one.
pub(crate) fn context_name(lang: Language, context: Option<&str>) -> String {
    let family = Driver::of(lang).family;
    match context {
        Some(context) => format!("{family}.{context}"),
        None => family.to_owned(),
    }
}

impl Kernels {
    pub(crate) fn new(sandbox: Arc<Sandbox>, env: Env, plan: &Plan) -> Self {
        Self {
            sandbox,
            image: plan.image.reference.clone(),
            env,
            output_bytes: plan.limits.output_bytes,
            oom_seen: AtomicU64::new(0),
            libraries: Mutex::default(),
            contexts: Mutex::default(),
            cells: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// A kernel that runs already: of the pool, or of an earlier life of the node.
    pub(crate) fn there_is(&self, name: &str, untold: Env) {
        let kernel = Kernel { runs: true, replaces: false, untold };
        let context = Context { kernel: kernel.into(), waiting: AtomicUsize::new(0) };
        lock(&self.contexts).insert(name.to_owned(), Arc::new(context));
    }

    /// Libraries that interpreters find from here on.
    pub(crate) fn furnish(&self, env: Env) {
        if !env.is_empty() {
            *lock(&self.libraries) = env;
        }
    }

    /// Ends a cell that was taken in and won't run.
    pub(crate) fn turn_away(&self, cell: &LiveCell, context: &Context, end: CellEnd) {
        context.waiting.fetch_sub(1, Ordering::Relaxed);
        cell.end(end);
    }

    /// Starts a language's kernel without waiting for it, so that it is there for the first code.
    pub(crate) async fn warm(&self, lang: Language) -> Result<(), JobError> {
        let context = self.context(&context_name(lang, None))?;
        let mut kernel = context.kernel.lock().await;
        self.start(&context_name(lang, None), lang, &mut kernel).await?;
        Ok(())
    }

    async fn start(
        &self,
        name: &str,
        lang: Language,
        kernel: &mut Kernel,
    ) -> Result<(), LinkError> {
        if !kernel.runs {
            let places = self.sandbox.places();
            let command = Driver::of(lang).command(name, &self.image, self.env.clone(), &places);
            self.sandbox.start_kernel(name, command).await?;
            kernel.runs = true;
        }
        Ok(())
    }

    fn context(&self, name: &str) -> Result<Arc<Context>, JobError> {
        let mut contexts = lock(&self.contexts);
        if !contexts.contains_key(name) && contexts.len() >= MAX_CONTEXTS {
            let mut faults = contracts::Faults::default();
            faults.add("context", format!("a session has {MAX_CONTEXTS} contexts at most"));
            return Err(JobError::Refused(faults));
        }
        Ok(Arc::clone(contexts.entry(name.to_owned()).or_default()))
    }

    /// Interpreters that run, as far as is known without asking.
    pub(crate) fn running(&self) -> usize {
        let contexts = lock(&self.contexts);
        // One that is held has somebody who runs code in it.
        let runs = |context: &&Arc<Context>| context.kernel.try_lock().is_ok_and(|k| k.runs);
        contexts.values().filter(runs).count()
    }

    pub(crate) fn cell(&self, id: &CellId) -> Option<Arc<LiveCell>> {
        lock(&self.cells).iter().find(|cell| cell.id == *id).cloned()
    }

    /// Remembers a cell, and forgets the oldest that ended when there are too many.
    fn remember(&self, cell: Arc<LiveCell>) {
        let mut cells = lock(&self.cells);
        cells.push_back(cell);
        let mut bytes: usize = cells.iter().rev().skip(1).map(|cell| cell.bytes()).sum();
        while cells.len() > MAX_KEPT_CELLS || bytes > MAX_KEPT_BYTES {
            let Some(oldest) = cells.iter().position(|cell| cell.has_ended()) else { return };
            bytes -= cells.remove(oldest).map_or(0, |cell| cell.bytes()).min(bytes);
        }
    }

    /// Lets the agent forget what is old enough.
    async fn keep_in_agent(&self, exec: u32) -> Result<(), LinkError> {
        let old = {
            let mut kept = lock(&self.kept);
            kept.push_back(exec);
            if kept.len() > KEPT_BY_AGENT { kept.pop_front() } else { None }
        };
        match old {
            Some(old) => self.sandbox.forget(old).await,
            None => Ok(()),
        }
    }

    /// Interrupts what a context runs; `false` when it runs nothing.
    pub(crate) async fn interrupt(&self, name: &str) -> Result<bool, JobError> {
        let running = lock(&self.cells).iter().find_map(|cell| cell.running_in(name));
        let Some((cell, exec)) = running else { return Ok(false) };
        cell.mark_interrupted();
        self.sandbox.signal(exec, SIGINT).await?;
        Ok(true)
    }

    /// Kills a context's kernel, and with it what it runs. The next code gets a new one.
    pub(crate) async fn restart(&self, name: &str) -> Result<(), JobError> {
        let context = self.context(name)?;
        self.sandbox.end_kernel(name).await?;
        // The cell that ran ends by it, and lets go of the kernel.
        let mut kernel = context.kernel.lock().await;
        *kernel = Kernel::default();
        Ok(())
    }

    /// Whether a process was killed for memory since somebody last looked.
    async fn oom_news(&self) -> bool {
        let now = self.sandbox.counters().await.oom_kills;
        self.oom_seen.swap(now, Ordering::Relaxed) < now
    }
}

/// Starts a kernel in a sandbox that waits for its owner, and hears from it that it runs.
pub(crate) async fn begin(
    sandbox: &Sandbox,
    image: &ImageRef,
    env: Env,
    lang: Language,
) -> Result<Option<End>, LinkError> {
    let kernel = context_name(lang, None);
    let command = Driver::of(lang).command(&kernel, image, env, &sandbox.places());
    sandbox.start_kernel(&kernel, command).await?;
    let cell = Cell {
        kernel,
        dialect: lang.name().to_owned(),
        name: String::new(),
        code: String::new(),
        env: Vec::new(),
        rich: false,
        input: Input::None,
        output_bytes: 4096,
        display_bytes: 0,
        flood_bytes: 1 << 20,
        backstop_ms: 0,
    };
    let exec = sandbox.start_cell(cell).await?;
    Ok(sandbox.read_out(exec).await?.end)
}

const SIGINT: i32 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one insert, removal or append.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
