//! One command in a session.

use super::{LiveSession, busy::Busy, ids};
use crate::{
    JobError, Node,
    lifecycle::millis,
    outcome::{self, Captured, Times},
    prepare,
    supervise::{End, Feeding, SIGTERM, Watch},
};
use contracts::{
    SessionId, Version,
    job::Timings,
    link::{Command, Stream},
    session::{ExecRequest, ExecResponse, SessionEnd},
};
use executor::{Counters, Exec, ExecEvent};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

impl Node {
    /// Runs a command in a session. Who stops waiting does not stop the command.
    pub async fn exec(
        &self,
        id: &SessionId,
        request: ExecRequest,
    ) -> Result<ExecResponse, JobError> {
        request.validate().map_err(JobError::Invalid)?;
        let session = self.code_session(id).await?;
        let running = self.inner.tasks.spawn(run(self.clone(), session, request));
        running.await.map_err(|e| JobError::fault("exec", e))?
    }
}

async fn run(
    node: Node,
    session: Arc<LiveSession>,
    request: ExecRequest,
) -> Result<ExecResponse, JobError> {
    let _busy = Busy::begin(&session).await?;
    let config = &node.inner.config;
    let asked = request.timeout_seconds.map(Duration::from_secs);
    let timeout = asked.unwrap_or(config.default_timeout).min(config.max_timeout);
    let before = session.sandbox.counters().await;
    let started_at = OffsetDateTime::now_utc();
    let began = Instant::now();
    let mut exec = session.sandbox.start(command(&session, &request, config.flood_bytes)).await?;
    let (sandbox, id) = (&session.sandbox, exec.id());
    let feeding = request.stdin.as_ref().map(|text| -> Feeding<'_> {
        Box::pin(async move {
            sandbox.stdin(id, text.as_bytes()).await?;
            sandbox.end_stdin(id).await
        })
    });
    // The session's end is this command's end too.
    let ending = CancellationToken::new();
    let watch = Watch {
        sandbox: &session.sandbox,
        ask: SIGTERM,
        deadline: began + timeout,
        term_grace: config.term_grace,
        stop_grace: config.term_grace,
        cancel: &ending,
        leaving: &node.inner.leaving,
        feeding,
    };
    let mut captured = Captured::default();
    let end = watch.until_end(&mut exec, |stream, data| match stream {
        Stream::Stdout => captured.stdout.extend_from_slice(data),
        Stream::Stderr => captured.stderr.extend_from_slice(data),
        // A command has none.
        Stream::Display => {}
    });
    let end = end.await;
    let counters = since(before, session.sandbox.counters().await);
    let oom = counters.oom_kills > 0;
    let (verdict, exited) = match end {
        End::Left => return Err(JobError::Draining),
        End::Exited(exited, intent) => {
            session.sandbox.forget(exec.id()).await?;
            (Some(outcome::judge(&exited, intent, oom)), Some(exited))
        }
        End::Lost(intent) => {
            let verdict = outcome::judge_lost(intent, oom);
            // Somebody ended the session, and with it this.
            if let (None, Some(ended)) = (&verdict, session.ended()) {
                return Err(JobError::Gone(ended));
            }
            session.ask_to_end(SessionEnd::Lost);
            (verdict, None)
        }
    };
    let verdict = verdict.ok_or(executor::LinkError::Lost)?;
    let timings = Timings { warm: true, run_ms: millis(began.elapsed()), ..Timings::default() };
    let times = Times { started_at, ended_at: OffsetDateTime::now_utc(), timings };
    let limits = session.plan.limits.clone();
    let outcome = outcome::outcome(verdict, &captured, exited.as_ref(), counters, times, limits);
    Ok(ExecResponse { version: Version, session_id: session.view.session_id.clone(), outcome })
}

pub(super) fn command(session: &LiveSession, request: &ExecRequest, flood_bytes: u64) -> Command {
    let places = session.sandbox.places();
    let reserved = prepare::reserved(&places, ids(&session.view));
    let mut asked = session.request.sandbox.env.clone();
    asked.extend(request.env.clone());
    let ways = prepare::Ways::of(&session.request.sandbox);
    Command {
        argv: request.command.clone(),
        env: prepare::environment(&session.plan.image.env, ways, &asked, &reserved, &places),
        cwd: places.workspace,
        stdin: request.stdin.is_some(),
        output_bytes: session.plan.limits.output_bytes,
        flood_bytes,
        sole: false,
        backstop_ms: 0,
    }
}

/// What was counted during one command; the peak is the sandbox's own.
fn since(before: Counters, after: Counters) -> Counters {
    Counters {
        memory_bytes: after.memory_bytes,
        oom_kills: after.oom_kills.saturating_sub(before.oom_kills),
        memory_peak_bytes: after.memory_peak_bytes,
        cpu_us: after.cpu_us.saturating_sub(before.cpu_us),
    }
}

/// A command that was running when the node died: its caller is gone, its output goes nowhere.
pub(super) async fn read_out(session: Arc<LiveSession>, mut exec: Exec) {
    let Ok(_busy) = Busy::begin(&session).await else { return };
    while let Some(event) = exec.next().await {
        if let ExecEvent::Exited(_) = event {
            // A lost link has nothing to forget.
            let _lost = session.sandbox.forget(exec.id()).await;
            return;
        }
    }
}
