//! A job's events as a stream that can be taken up at any position.

use crate::{
    JobError, Node,
    live::{LiveJob, News},
    node::view,
};
use contracts::{
    JobId,
    event::{OutputChunk, Position},
    job::JobView,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events that wait for a slow reader; the job itself never waits for one.
const IN_FLIGHT: usize = 16;
/// Output in one event.
const CHUNK_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// What the reader has seen after this event.
    pub position: Position,
    pub kind: JobEventKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JobEventKind {
    State(Box<JobView>),
    Stdout(OutputChunk),
    Stderr(OutputChunk),
    End(Box<JobView>),
}

pub(crate) async fn follow(
    node: &Node,
    id: &JobId,
    after: Position,
) -> Result<mpsc::Receiver<JobEvent>, JobError> {
    let (events, reader) = mpsc::channel(IN_FLIGHT);
    let mut teller = Teller { events, position: after };
    match node.inner.jobs.get(id) {
        Some(job) => {
            node.inner.tasks.spawn(async move { teller.tell_live(job).await });
        }
        None => {
            let view = view(node.row(id).await?);
            node.inner.tasks.spawn(async move { teller.tell_past(view).await });
        }
    }
    Ok(reader)
}

struct Teller {
    events: mpsc::Sender<JobEvent>,
    position: Position,
}

impl Teller {
    /// `None` once the reader has gone.
    async fn tell_live(&mut self, job: Arc<LiveJob>) -> Option<()> {
        let mut changed = job.watch();
        let mut state = None;
        loop {
            let view = job.view();
            if state != Some(view.state) {
                state = Some(view.state);
                let view = JobView { result: None, problem: None, ..view };
                self.send(JobEventKind::State(Box::new(view))).await?;
            }
            let News { stdout, stderr, over } = job.news(self.position);
            self.output(&stdout, &stderr).await?;
            if over {
                let view = job.view();
                // One that was let go of has no end to tell in this life.
                let ended = view.result.is_some() || view.problem.is_some();
                return if ended {
                    self.send(JobEventKind::End(Box::new(view))).await
                } else {
                    None
                };
            }
            tokio::select! {
                changed = changed.changed() => changed.ok()?,
                () = self.events.closed() => return None,
            }
        }
    }

    async fn tell_past(&mut self, view: JobView) -> Option<()> {
        let state = JobView { result: None, problem: None, ..view.clone() };
        self.send(JobEventKind::State(Box::new(state))).await?;
        if let Some(result) = &view.result {
            let rest = |text: &str, seen: u64| {
                text.as_bytes().get(seen as usize..).unwrap_or_default().to_vec()
            };
            let stdout = rest(&result.outcome.stdout, self.position.stdout);
            let stderr = rest(&result.outcome.stderr, self.position.stderr);
            self.output(&stdout, &stderr).await?;
        }
        self.send(JobEventKind::End(Box::new(view))).await
    }

    async fn output(&mut self, stdout: &[u8], stderr: &[u8]) -> Option<()> {
        for piece in pieces(stdout) {
            let chunk = chunk(self.position.stdout, piece);
            self.position.stdout += piece.len() as u64;
            self.send(JobEventKind::Stdout(chunk)).await?;
        }
        for piece in pieces(stderr) {
            let chunk = chunk(self.position.stderr, piece);
            self.position.stderr += piece.len() as u64;
            self.send(JobEventKind::Stderr(chunk)).await?;
        }
        Some(())
    }

    async fn send(&self, kind: JobEventKind) -> Option<()> {
        self.events.send(JobEvent { position: self.position, kind }).await.ok()
    }
}

/// Pieces that end where a character ends, if they hold text.
fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let most = data.len().min(CHUNK_BYTES);
        let whole = match std::str::from_utf8(&data[..most]) {
            Err(error) if error.valid_up_to() > 0 => error.valid_up_to(),
            _ => most,
        };
        let (piece, rest) = data.split_at(whole);
        data = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn chunk(offset: u64, piece: &[u8]) -> OutputChunk {
    match std::str::from_utf8(piece) {
        Ok(text) => OutputChunk { offset, text: Some(text.to_owned()), base64: None },
        Err(_) => OutputChunk { offset, text: None, base64: Some(contracts::file::base64(piece)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_characters_whole_and_lose_nothing() {
        let text = "é".repeat(CHUNK_BYTES);
        let joined: Vec<u8> = pieces(text.as_bytes()).flatten().copied().collect();
        assert_eq!(joined, text.as_bytes());
        assert!(pieces(text.as_bytes()).all(|piece| std::str::from_utf8(piece).is_ok()));
        let mixed = b"ab\xffcd";
        let parts: Vec<&[u8]> = pieces(mixed).collect();
        assert_eq!(parts, [&b"ab"[..], &b"\xffcd"[..]]);
    }
}
