//! A job's events as a stream of server-sent events, with heartbeats while nothing happens.

use crate::problem::{Answer, BrokenOff};
use contracts::event::name;
use futures::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Response,
    body::{Bytes, Frame},
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use jobs::{JobEvent, JobEventKind};
use std::time::Duration;
use tokio::sync::mpsc;

/// A comment: keeps proxies from closing, and tells us when nobody reads.
pub(crate) const HEARTBEAT: &str = ": heartbeat\n\n";

pub(crate) fn stream(events: mpsc::Receiver<JobEvent>, heartbeat: Duration) -> Answer {
    let frames = futures::stream::unfold(events, move |mut events| async move {
        let text = match tokio::time::timeout(heartbeat, events.recv()).await {
            Ok(Some(event)) => encode(&event),
            Ok(None) => return None,
            Err(_) => HEARTBEAT.to_owned(),
        };
        Some((text, events))
    });
    answer(frames)
}

/// Texts of events as an answer that has no end of its own.
pub(crate) fn answer(texts: impl Stream<Item = String> + Send + 'static) -> Answer {
    let frames = texts.map(|text| Ok::<_, BrokenOff>(Frame::data(Bytes::from(text))));
    let mut answer = Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn encode(event: &JobEvent) -> String {
    let (name, data) = match &event.kind {
        JobEventKind::State(view) => (name::STATE, serde_json::to_string(view)),
        JobEventKind::Stdout(chunk) => (name::STDOUT, serde_json::to_string(chunk)),
        JobEventKind::Stderr(chunk) => (name::STDERR, serde_json::to_string(chunk)),
        JobEventKind::End(view) => (name::END, serde_json::to_string(view)),
    };
    // JSON has no raw line breaks, so the data is one line. These types always serialise.
    let data = data.unwrap_or_default();
    format!("id: {}\nevent: {name}\ndata: {data}\n\n", event.position)
}
