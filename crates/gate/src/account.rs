//! The account of one call: its place in the job's budget, the numbers, and the one audit line that
//! it leaves behind, whichever way it ends. One that is dropped was broken off by its client.

use crate::{Endpoint, Forward, Meter, Reading, Reservation, door::Inner};
use contracts::ProviderName;
use relay::RelayError;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Who calls what. No bodies, no queries, no secrets.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) task: String,
    pub(crate) job: String,
}

/// A call that was let through.
pub(crate) struct Account {
    inner: Arc<Inner>,
    caller: Caller,
    endpoint: Endpoint,
    alias: String,
    model: String,
    began: Instant,
    bytes_in: usize,
    bytes_out: u64,
    status: u16,
    /// Until the head of the answer.
    head: Option<Duration>,
    first_text: Option<Duration>,
    end: End,
    /// Taken when the account is closed.
    reservation: Option<Reservation>,
    meter: Option<Meter>,
}

/// How a call ends; before it has, how it would if it were dropped.
#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    /// The client hung up, or its job was ended.
    Gone,
    /// The provider answered with an error, which is passed on.
    Refused,
    /// Nothing of it reached the provider.
    Unsent(&'static str),
    Failed(&'static str),
}

impl Account {
    pub(crate) fn open(
        inner: Arc<Inner>,
        caller: Caller,
        endpoint: Endpoint,
        forward: &Forward,
        reservation: Reservation,
        began: Instant,
    ) -> Self {
        inner.metrics.open.inc();
        Self {
            inner,
            caller,
            endpoint,
            alias: forward.alias.clone(),
            model: forward.model.clone(),
            began,
            bytes_in: forward.body.len(),
            bytes_out: 0,
            status: 0,
            head: None,
            first_text: None,
            end: End::Gone,
            reservation: Some(reservation),
            meter: None,
        }
    }

    /// Who gets the call now.
    pub(crate) fn served_by(&mut self, provider: &ProviderName, model: &str) {
        self.model = format!("{provider}/{model}");
    }

    /// Nobody took it.
    pub(crate) fn unserved(&mut self, code: &'static str) {
        self.end = End::Unsent(code);
        self.close();
    }

    /// The answer has begun. Without a meter it costs nothing: the provider refused.
    pub(crate) fn answered(&mut self, status: u16, meter: Option<Meter>) {
        self.status = status;
        self.head = Some(self.began.elapsed());
        if meter.is_none() {
            self.end = End::Refused;
        }
        self.meter = meter;
    }

    /// False once there was a frame that can't be read.
    pub(crate) fn read(&mut self, data: &[u8]) -> bool {
        self.bytes_out += data.len() as u64;
        if let Some(meter) = &mut self.meter {
            meter.feed(data);
            if self.first_text.is_none() && meter.has_output() {
                self.first_text = Some(self.began.elapsed());
            }
        }
        !self.meter.as_ref().is_some_and(Meter::is_garbled)
    }

    /// The answer is there to its last byte. False for a stream whose own end mark is missing.
    pub(crate) fn complete(&mut self, is_stream: bool) -> bool {
        if matches!(self.end, End::Gone) {
            self.end = End::Complete;
        }
        let finished = self.close().is_none_or(|reading| reading.finished);
        finished || !is_stream
    }

    /// The answer failed, or was never begun.
    pub(crate) fn failed(&mut self, error: &RelayError) {
        let (code, status) = (error.code(), error.status().as_u16());
        let unsent = matches!(error, RelayError::Connect(_) | RelayError::SlowConnect(_));
        if self.status == 0 {
            self.status = status;
        }
        self.end = if unsent { End::Unsent(code) } else { End::Failed(code) };
        self.close();
    }

    /// Settles once, and leaves the audit line.
    fn close(&mut self) -> Option<Reading> {
        let reservation = self.reservation.take()?;
        let reading = match (self.end, self.meter.take()) {
            (End::Refused | End::Unsent(_), _) => {
                reservation.release();
                None
            }
            (_, Some(meter)) => {
                let reading = meter.finish(reservation.input_estimate());
                reservation.settle(&reading, self.first_text);
                Some(reading)
            }
            // What it cost the provider can't be known, so it costs what it could have.
            (_, None) => {
                drop(reservation);
                None
            }
        };
        if let (End::Complete, Some(Reading { finished: false, .. })) = (self.end, reading) {
            self.end = End::Failed("upstream_unfinished");
        }
        self.count(reading.as_ref());
        self.write_down(reading.as_ref());
        reading
    }

    fn count(&self, reading: Option<&Reading>) {
        let metrics = &self.inner.metrics;
        metrics.open.dec();
        metrics.called(self.endpoint, self.began.elapsed(), self.end.error());
        if let Some(reading) = reading {
            metrics.spent(self.endpoint, reading, self.first_text);
        }
    }

    fn write_down(&self, reading: Option<&Reading>) {
        let ms = |time: Duration| time.as_micros() as f64 / 1000.0;
        tracing::info!(
            target: "audit",
            task_id = %self.caller.task,
            job_id = %self.caller.job,
            rule = "inference",
            decision = "allow",
            path = self.endpoint.path(),
            model = self.alias,
            served_by = self.model,
            status = self.status,
            bytes_in = self.bytes_in,
            bytes_out = self.bytes_out,
            input_tokens = reading.map(|reading| reading.input_tokens),
            cached_tokens = reading.map(|reading| reading.cached_tokens),
            output_tokens = reading.map(|reading| reading.output_tokens),
            estimated = reading.map(|reading| reading.estimated),
            head_ms = self.head.map(ms),
            first_text_ms = self.first_text.map(ms),
            total_ms = ms(self.began.elapsed()),
            end = self.end.error().unwrap_or("complete"),
            "a call"
        );
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.close();
    }
}

impl End {
    fn error(self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::Gone => Some("client_gone"),
            Self::Refused => Some("provider_refused"),
            Self::Unsent(code) | Self::Failed(code) => Some(code),
        }
    }
}
