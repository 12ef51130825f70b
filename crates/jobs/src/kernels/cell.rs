//! One piece of code: what came of it so far, in order, and its end.

use super::stdin::CellStdin;
use contracts::{
    CellId,
    code::{ExecuteResponse, Rich},
    link::Stream,
    problem::Problem,
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;

/// Results of one cell, however small.
const MAX_RESULTS: usize = 1024;

#[derive(Debug, Clone, PartialEq)]
pub enum CellEvent {
    Stdout(String),
    Stderr(String),
    Rich(Rich),
}

/// How a cell ended for whoever asks.
#[derive(Debug, Clone)]
pub(crate) enum CellEnd {
    Answer(Arc<ExecuteResponse>),
    Problem(Problem),
    /// The node goes away; its next life has the cell.
    Left,
}

/// What a reader has not seen, and the number of the last of it.
pub struct CellNews {
    pub events: Vec<CellEvent>,
    pub seen: usize,
    pub over: bool,
}

pub(crate) struct LiveCell {
    pub(crate) id: CellId,
    /// Of the request; absent where only the agent knew it.
    pub(crate) request_hash: Option<[u8; 32]>,
    kernel: String,
    pub(crate) stdin: CellStdin,
    interrupted: AtomicBool,
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Log {
    events: Vec<CellEvent>,
    /// Events that somebody has seen and that must not grow any more.
    told: usize,
    stdout: Decoder,
    stderr: Decoder,
    /// A line of results that is not whole yet.
    line: Vec<u8>,
    results: usize,
    results_cut: bool,
    /// Bytes of each stream as they came.
    kept: [u64; 3],
    exec: Option<u32>,
    end: Option<CellEnd>,
}

/// Bytes to text, with a character that is not whole yet held back.
#[derive(Default)]
struct Decoder(Vec<u8>);

impl Decoder {
    fn decode(&mut self, data: &[u8]) -> String {
        self.0.extend_from_slice(data);
        let whole = match std::str::from_utf8(&self.0) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.0.len() - unfinished(&self.0),
            Ok(_) => self.0.len(),
        };
        let text = String::from_utf8_lossy(&self.0[..whole]).into_owned();
        self.0.drain(..whole);
        text
    }
}

/// Bytes at the end that begin a character and do not finish it.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let begins = |at: &usize| {
        std::str::from_utf8(&tail[*at..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (0..tail.len()).find(begins).map_or(0, |at| tail.len() - at)
}

impl LiveCell {
    pub(crate) fn new(
        id: CellId,
        kernel: String,
        request_hash: Option<[u8; 32]>,
        stdin: CellStdin,
    ) -> Self {
        Self {
            id,
            request_hash,
            kernel,
            stdin,
            interrupted: AtomicBool::new(false),
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running_in(self: &Arc<Self>, kernel: &str) -> Option<(Arc<Self>, u32)> {
        let log = self.log();
        let runs = self.kernel == kernel && log.end.is_none();
        log.exec.filter(|_| runs).map(|exec| (Arc::clone(self), exec))
    }

    pub(super) fn kernel(&self) -> &str {
        &self.kernel
    }

    pub(super) fn mark_interrupted(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.log().end.is_some()
    }

    pub(super) fn bytes(&self) -> usize {
        self.log().kept.iter().sum::<u64>() as usize
    }

    pub(super) fn kept_bytes(&self) -> [u64; 3] {
        self.log().kept
    }

    pub(super) fn runs_as(&self, exec: u32) {
        self.log().exec = Some(exec);
    }

    pub(super) fn wrote(&self, stream: Stream, data: &[u8]) {
        let mut log = self.log();
        log.kept[stream as usize] += data.len() as u64;
        match stream {
            Stream::Stdout => {
                let text = log.stdout.decode(data);
                log.append(CellEvent::Stdout(text));
            }
            Stream::Stderr => {
                let text = log.stderr.decode(data);
                log.append(CellEvent::Stderr(text));
            }
            Stream::Display => log.displayed(data),
        }
        drop(log);
        self.changed.send_replace(());
    }

    pub(super) fn end(&self, end: CellEnd) {
        // The first end is the end.
        self.log().end.get_or_insert(end);
        self.stdin.close();
        self.changed.send_replace(());
    }

    /// Everything that came, put together.
    pub(super) fn whole(&self) -> (String, String, Vec<Rich>, bool) {
        let log = self.log();
        let (mut stdout, mut stderr, mut rich) = (String::new(), String::new(), Vec::new());
        for event in &log.events {
            match event {
                CellEvent::Stdout(text) => stdout.push_str(text),
                CellEvent::Stderr(text) => stderr.push_str(text),
                CellEvent::Rich(value) => rich.push(value.clone()),
            }
        }
        (stdout, stderr, rich, log.results_cut)
    }

    pub(crate) async fn ended(&self) -> CellEnd {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(end) = &self.log().end {
                return end.clone();
            }
            if changed.changed().await.is_err() {
                return CellEnd::Left;
            }
        }
    }

    /// What came after the events that the reader has seen.
    pub(crate) fn news(&self, seen: usize) -> CellNews {
        let mut log = self.log();
        log.told = log.events.len();
        let events = log.events.get(seen..).unwrap_or_default().to_vec();
        CellNews { events, seen: log.events.len(), over: log.end.is_some() }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl Log {
    /// Lines of results, in whatever pieces they come. What is no result is left out.
    fn displayed(&mut self, data: &[u8]) {
        self.line.extend_from_slice(data);
        let lines = std::mem::take(&mut self.line);
        let mut rest = &lines[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            match serde_json::from_slice::<Rich>(&rest[..end]) {
                // Questions are bounded by their bytes: code that is not heard would wait in vain.
                Ok(question @ Rich::Stdin { .. }) => self.events.push(CellEvent::Rich(question)),
                Ok(rich) if self.results < MAX_RESULTS => {
                    self.results += 1;
                    self.events.push(CellEvent::Rich(rich));
                }
                _ => self.results_cut = true,
            }
            rest = &rest[end + 1..];
        }
        self.line = rest.to_vec();
    }

    /// Text joins the event before it as long as nobody has seen that one.
    fn append(&mut self, event: CellEvent) {
        let (CellEvent::Stdout(text) | CellEvent::Stderr(text)) = &event else { return };
        if text.is_empty() {
            return;
        }
        let open = self.events.len() > self.told;
        match (self.events.last_mut().filter(|_| open), event) {
            (Some(CellEvent::Stdout(last)), CellEvent::Stdout(text))
            | (Some(CellEvent::Stderr(last)), CellEvent::Stderr(text)) => last.push_str(&text),
            (_, event) => self.events.push(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> LiveCell {
        LiveCell::new(
            CellId::new("c").unwrap(),
            "python".to_owned(),
            None,
            CellStdin::of(&Default::default()),
        )
    }

    #[test]
    fn output_stays_in_order_and_grows_until_it_was_seen() {
        let cell = cell();
        cell.wrote(Stream::Stdout, b"a");
        cell.wrote(Stream::Stdout, b"b");
        let first = cell.news(0);
        assert_eq!((first.events, first.seen), (vec![CellEvent::Stdout("ab".into())], 1));
        cell.wrote(Stream::Stdout, b"c");
        cell.wrote(Stream::Stderr, b"e");
        let next = cell.news(1).events;
        assert_eq!(next, [CellEvent::Stdout("c".into()), CellEvent::Stderr("e".into())]);
        assert_eq!(cell.whole().0, "abc");
    }

    #[test]
    fn a_character_in_two_pieces_is_one() {
        let cell = cell();
        cell.wrote(Stream::Stdout, &[0xc3]);
        cell.wrote(Stream::Stdout, &[0xa9, 0xff, 0xe2, 0x82]);
        cell.wrote(Stream::Stdout, &[0xac]);
        assert_eq!(cell.whole().0, "é\u{fffd}€");
    }

    #[test]
    fn results_come_by_lines_and_junk_is_left_out() {
        let cell = cell();
        cell.wrote(Stream::Display, b"{\"kind\":\"result\",\"data\":{\"text/pl");
        cell.wrote(Stream::Display, b"ain\":\"1\"}}\njunk\n{\"kind\":\"other\"}\n");
        let (_, _, rich, cut) = cell.whole();
        assert_eq!((rich.len(), cut), (1, true));
    }
}
