//! Running one cell to its end.

use super::{
    Context, Driver, Kernels, SIGINT,
    cell::{CellEnd, LiveCell},
    context_name, lock,
    stdin::CellStdin,
    verdict::{Circumstances, answer},
};
use crate::{
    JobError,
    supervise::{End, Feeding, Watch},
};
use contracts::{
    CellId, Faults,
    code::{CellInput, ExecuteRequest, Language},
    link::{
        End as Ended, ExecStatus, Exited,
        kernel::{Cell, Input, MAX_DISPLAY_BYTES},
    },
};
use executor::Exec;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an interrupted cell may take to give up before its kernel is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(2);

/// The agent's own deadline comes so long after the host's, which it only backs.
const BACKSTOP: Duration = Duration::from_secs(30);

/// Of the lines by which code asks, where no results are wanted.
const QUESTION_BYTES: u64 = 256 << 10;

/// What one cell is to be run with.
pub(crate) struct Order {
    pub(crate) lang: Language,
    pub(crate) request: ExecuteRequest,
    pub(crate) timeout: Duration,
    pub(crate) flood_bytes: u64,
    pub(crate) leaving: CancellationToken,
    /// Of code with no session to end.
    pub(crate) stop: CancellationToken,
}

impl Kernels {
    /// Takes a cell in. Of two with one name the second is the first, or refused.
    pub(crate) fn admit(
        &self,
        order: &Order,
        drawn: CellId,
    ) -> Result<(Arc<LiveCell>, Option<Arc<Context>>), JobError> {
        let request = &order.request;
        let hash = crate::admission::hash(request)?;
        if let Some(cell) = request.cell_id.as_ref().and_then(|id| self.cell(id)) {
            // One that an earlier life of the node took is known by its name alone.
            let same = cell.request_hash.is_none_or(|known| known == hash);
            return if same { Ok((cell, None)) } else { Err(JobError::Conflict) };
        }
        let name = context_name(order.lang, request.context.as_deref());
        let context = self.context(&name)?;
        if context.waiting.fetch_add(1, Ordering::Relaxed) >= super::MAX_WAITING {
            context.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(JobError::Full { retry_after_s: 1 });
        }
        let id = request.cell_id.clone().unwrap_or(drawn);
        let stdin = CellStdin::of(request);
        let cell = Arc::new(LiveCell::new(id, name, Some(hash), stdin));
        self.remember(Arc::clone(&cell));
        Ok((cell, Some(context)))
    }

    /// Runs a cell that was taken in; whoever waits for it is told. An error is told, too, and given
    /// back for what it means to the session.
    pub(crate) async fn run(
        &self,
        cell: &LiveCell,
        context: &Context,
        order: Order,
        explain: impl FnOnce(JobError) -> JobError,
    ) -> Result<(), JobError> {
        let ran = self.run_in_turn(cell, context, order).await.map_err(explain);
        context.waiting.fetch_sub(1, Ordering::Relaxed);
        match ran {
            Ok(end) => {
                cell.end(end);
                Ok(())
            }
            Err(error) => {
                cell.end(CellEnd::Problem(error.problem()));
                Err(error)
            }
        }
    }

    async fn run_in_turn(
        &self,
        cell: &LiveCell,
        context: &Context,
        order: Order,
    ) -> Result<CellEnd, JobError> {
        let mut kernel = context.kernel.lock().await;
        if order.leaving.is_cancelled() {
            return Ok(CellEnd::Left);
        }
        self.start(cell.kernel(), order.lang, &mut kernel).await?;
        let fresh = std::mem::take(&mut kernel.replaces);
        let mut env = std::mem::take(&mut kernel.untold);
        env.extend(lock(&self.libraries).clone());
        env.extend(order.request.env.clone());
        let began = Instant::now();
        let mut exec = self
            .sandbox
            .start_cell(Cell {
                kernel: cell.kernel().to_owned(),
                dialect: order.lang.name().to_owned(),
                name: format!("{}/{}", cell.kernel(), cell.id),
                code: order.request.code.clone(),
                env,
                rich: order.request.rich,
                input: input(&order.request),
                output_bytes: self.output_bytes,
                display_bytes: display_bytes(&order.request),
                flood_bytes: order.flood_bytes,
                backstop_ms: (order.timeout + BACKSTOP).as_millis() as u64,
            })
            .await?;
        cell.runs_as(exec.id());
        let reads = order.request.stdin.is_some() || order.request.stdin_open;
        let begin = || -> Feeding<'_> { Box::pin(cell.stdin.begin(&self.sandbox, exec.id())) };
        let feeding = reads.then(begin);
        let watch = Watch {
            sandbox: &self.sandbox,
            ask: SIGINT,
            deadline: began + order.timeout,
            term_grace: INTERRUPT_GRACE,
            stop_grace: INTERRUPT_GRACE,
            cancel: &order.stop,
            leaving: &order.leaving,
            feeding,
        };
        let end = watch.until_end(&mut exec, |stream, data| cell.wrote(stream, data)).await;
        let about = Circumstances {
            fresh,
            rich: order.request.rich,
            named: order.request.cell_id.is_some() || order.request.stream,
            interrupted: cell.was_interrupted(),
            ..Circumstances::default()
        };
        let (exited, about) = match end {
            End::Left => return Ok(CellEnd::Left),
            End::Lost(_) if self.oom_news().await => {
                kernel.runs = false;
                (lost_for_memory(), Circumstances { oom: true, ..about })
            }
            End::Lost(_) => return Err(executor::LinkError::Lost.into()),
            End::Exited(exited, intent) => {
                let about = Circumstances { intent, ..about };
                if matches!(exited.end, Ended::Code(_)) {
                    (exited, about)
                } else {
                    kernel.runs = false;
                    kernel.replaces = matches!(exited.end, Ended::Kernel { .. });
                    not_run(&exited.end, order.lang)?;
                    (exited, Circumstances { oom: self.oom_news().await, ..about })
                }
            }
        };
        let told = answer(cell, &exited, about);
        // A lost link has nothing to forget, and shows itself by the next cell.
        let _lost = self.keep_in_agent(exec.id()).await;
        Ok(CellEnd::Answer(Arc::new(told)))
    }

    /// A line for a cell that reads, or will.
    pub(crate) async fn feed(&self, id: &CellId, input: CellInput) -> Result<(), JobError> {
        let cell = self.cell(id).ok_or(JobError::NotFound("cell"))?;
        cell.stdin.feed(&self.sandbox, input).await
    }

    /// A cell of an earlier life of the node: it goes on, or its end is there. Its caller is gone, and
    /// may ask again by its name.
    pub(crate) fn take_up(&self, status: &ExecStatus) -> Option<(Arc<LiveCell>, Arc<Context>)> {
        let (kernel, id) = status.cell.as_deref()?.split_once('/')?;
        let id = CellId::new(id).ok()?;
        let context = self.context(kernel).ok()?;
        let stdin = CellStdin::taken_up(status.exec, status.stdin);
        let cell = Arc::new(LiveCell::new(id, kernel.to_owned(), None, stdin));
        cell.runs_as(status.exec);
        self.remember(Arc::clone(&cell));
        Some((cell, context))
    }

    /// Reads a cell that was taken up to its end. The agent's own deadline watches over it.
    pub(crate) async fn read_out(
        &self,
        cell: &LiveCell,
        context: &Context,
        mut exec: Exec,
        running: bool,
        leaving: CancellationToken,
    ) {
        // One that ended holds nobody up.
        let mut kernel = if running { Some(context.kernel.lock().await) } else { None };
        let never = CancellationToken::new();
        let watch = Watch {
            sandbox: &self.sandbox,
            ask: SIGINT,
            deadline: Instant::now() + Duration::from_secs(365 * 24 * 3600),
            term_grace: INTERRUPT_GRACE,
            stop_grace: INTERRUPT_GRACE,
            cancel: &never,
            leaving: &leaving,
            feeding: None,
        };
        let end = watch.until_end(&mut exec, |stream, data| cell.wrote(stream, data)).await;
        let End::Exited(exited, _) = end else {
            return cell.end(CellEnd::Left);
        };
        if let (Some(kernel), Ended::Kernel { .. }) = (&mut kernel, &exited.end) {
            kernel.runs = false;
            kernel.replaces = true;
        }
        let rich = exited.display_bytes > 0;
        let interrupted = cell.was_interrupted();
        let about = Circumstances { rich, named: true, interrupted, ..Circumstances::default() };
        cell.end(CellEnd::Answer(Arc::new(answer(cell, &exited, about))));
        lock(&self.kept).push_back(exec.id());
    }
}

fn input(request: &ExecuteRequest) -> Input {
    match (&request.stdin, request.stdin_open) {
        (_, true) => Input::Open,
        (Some(_), false) => Input::Given,
        (None, false) => Input::None,
    }
}

/// What the driver may say beside the output: results, or only that the code asks for a line.
fn display_bytes(request: &ExecuteRequest) -> u64 {
    match (request.rich, request.stdin_open) {
        (true, _) => MAX_DISPLAY_BYTES,
        (false, true) => QUESTION_BYTES,
        (false, false) => 0,
    }
}

/// A cell that never met a kernel: the image's fault, or ours.
fn not_run(end: &Ended, lang: Language) -> Result<(), JobError> {
    match end {
        Ended::NotExecuted { .. } => {
            let mut faults = Faults::default();
            let program = Driver::of(lang).program;
            let message =
                format!("{} needs {program}, which can't be run in this image", lang.name());
            faults.add("lang", message);
            Err(JobError::Refused(faults))
        }
        Ended::NoKernel => Err(JobError::fault("kernel", "the agent does not know the kernel")),
        _ => Ok(()),
    }
}

/// What is told of a sandbox that was killed for memory as a whole.
fn lost_for_memory() -> Exited {
    let end = contracts::link::kernel::KernelEnd::Signal(9);
    Exited::bare(Ended::Kernel { end, ran: true })
}
