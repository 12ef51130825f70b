//! What a job may spend on inference, and what it has spent. A call reserves before it is made and
//! settles when it ends, so that calls at the same time can't spend the same tokens twice.

use crate::{Kind, Reading, Refusal};
use contracts::inference::{Caps, InferenceUsage as Usage};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What a call is taken to generate when it does not say how much at most.
pub const DEFAULT_OUTPUT_TOKENS: u64 = 4096;

/// More than any call can cost. What a client writes beyond it would only make the sums overflow.
const MAX_ASK_TOKENS: u64 = 1 << 40;

/// What a call may cost, as far as can be known before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Debug)]
pub struct Budget {
    caps: Caps,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    spent: Usage,
    /// The sum of what open calls have reserved.
    reserved: Ask,
    open: u64,
}

/// The right to make one call. Who knows how it ended settles it, with what its meter read so far
/// if the client hung up. One that is dropped, because its task was, is spent in full.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    budget: Arc<Budget>,
    held: Ask,
    is_open: bool,
}

impl Budget {
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, ledger: Mutex::default() })
    }

    /// What was spent before, by a job that is taken up again.
    pub fn resume(caps: Caps, spent: Usage) -> Arc<Self> {
        Arc::new(Self { caps, ledger: Mutex::new(Ledger { spent, ..Ledger::default() }) })
    }

    /// Takes the cost of a call from the budget, or says which bound is reached.
    ///
    /// Requests and input fit or they don't. Output is asked for far above what is used, so a call
    /// passes while anything is left: the last one may spend beyond the bound what it asked for.
    pub fn reserve(self: &Arc<Self>, ask: Ask) -> Result<Reservation, Refusal> {
        let mut ledger = self.lock();
        if let Some(refusal) = ledger.refusal(&self.caps, ask) {
            return Err(refusal);
        }
        let held = ledger.hold(&self.caps, ask);
        drop(ledger);
        Ok(Reservation { budget: Arc::clone(self), held, is_open: true })
    }

    /// Counts a call that was refused, for this reason or another.
    pub fn count_refusal(&self) {
        self.lock().spent.refused += 1;
    }

    /// What is spent for certain. Open calls aren't in it yet.
    pub fn usage(&self) -> Usage {
        self.lock().spent
    }

    pub fn open_calls(&self) -> u64 {
        self.lock().open
    }

    /// The ledger is whole whenever it is unlocked, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn refusal(&self, caps: &Caps, ask: Ask) -> Option<Refusal> {
        let exceeds = |cap: Option<u64>, used: u64| cap.is_some_and(|cap| used > cap);
        let requests = self.spent.requests.saturating_add(self.open).saturating_add(1);
        let input = self.spent.input_tokens.saturating_add(self.reserved.input_tokens);
        let output = self.spent.output_tokens.saturating_add(self.reserved.output_tokens);
        // A call without output passes when all of it is spent.
        let least_output = output.saturating_add(ask.output_tokens.min(1));
        let bounds = [
            (caps.max_requests, requests, Kind::Requests, "the job has made all its calls"),
            (
                caps.max_input_tokens,
                input.saturating_add(ask.input_tokens),
                Kind::InputTokens,
                "the job has not enough input tokens left",
            ),
            (
                caps.max_output_tokens,
                if ask.output_tokens == 0 { 0 } else { least_output },
                Kind::OutputTokens,
                "the job has no output tokens left",
            ),
            (
                caps.max_concurrent_streams,
                self.open.saturating_add(1),
                Kind::Concurrency,
                "the job has too many calls open at once",
            ),
        ];
        let reached = bounds.into_iter().find(|(cap, used, ..)| exceeds(*cap, *used));
        reached.map(|(_, _, kind, message)| Refusal::new(kind, message))
    }

    /// Holds what was asked for, but no more output than is left: a call that asks for the moon and
    /// is dropped shall not cost more than the job has.
    fn hold(&mut self, caps: &Caps, ask: Ask) -> Ask {
        let used = self.spent.output_tokens.saturating_add(self.reserved.output_tokens);
        let left = caps.max_output_tokens.map_or(u64::MAX, |cap| cap.saturating_sub(used));
        let held = Ask {
            input_tokens: ask.input_tokens.min(MAX_ASK_TOKENS),
            output_tokens: ask.output_tokens.min(MAX_ASK_TOKENS).min(left),
        };
        self.open += 1;
        self.reserved.input_tokens += held.input_tokens;
        self.reserved.output_tokens += held.output_tokens;
        held
    }

    fn close(&mut self, held: Ask) {
        self.open -= 1;
        self.reserved.input_tokens -= held.input_tokens;
        self.reserved.output_tokens -= held.output_tokens;
    }
}

impl Ask {
    /// What a body of so many bytes will cost at most, as far as it says.
    pub fn of_call(body_bytes: usize, generates: bool, max_output_tokens: Option<u64>) -> Self {
        let output = max_output_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS);
        Self {
            input_tokens: crate::estimate_tokens(body_bytes as u64),
            output_tokens: if generates { output } else { 0 },
        }
    }
}

fn charge(spent: &mut Usage, reading: &Reading, first_token: Option<Duration>) {
    spent.requests += 1;
    spent.input_tokens = spent.input_tokens.saturating_add(reading.input_tokens);
    spent.cached_tokens = spent.cached_tokens.saturating_add(reading.cached_tokens);
    spent.output_tokens = spent.output_tokens.saturating_add(reading.output_tokens);
    spent.unfinished += u64::from(!reading.finished);
    spent.estimated += u64::from(reading.estimated);
    if let Some(first_token) = first_token {
        let ms = u64::try_from(first_token.as_millis()).unwrap_or(u64::MAX);
        spent.answered += 1;
        spent.first_token_ms_sum = spent.first_token_ms_sum.saturating_add(ms);
        spent.first_token_ms_max = spent.first_token_ms_max.max(ms);
    }
}

impl Reservation {
    /// The call has ended: it cost what was read, not what was reserved.
    pub fn settle(mut self, reading: &Reading, first_token: Option<Duration>) {
        self.end(|spent| charge(spent, reading, first_token));
    }

    /// The call never reached the provider, or the provider refused it: it cost nothing.
    pub fn release(mut self) {
        self.end(|_| {});
    }

    /// What the input counts for until the provider says otherwise.
    pub fn input_estimate(&self) -> u64 {
        self.held.input_tokens
    }

    fn end(&mut self, write: impl FnOnce(&mut Usage)) {
        if std::mem::take(&mut self.is_open) {
            let mut ledger = self.budget.lock();
            ledger.close(self.held);
            write(&mut ledger.spent);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Ask { input_tokens, output_tokens } = self.held;
        let all = Reading { input_tokens, output_tokens, estimated: true, ..Reading::default() };
        self.end(|spent| charge(spent, &all, None));
    }
}

#[cfg(test)]
mod tests;
