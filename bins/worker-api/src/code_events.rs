//! What code prints and shows, as server-sent events that can be taken up where they broke off.

use crate::{events, problem::Answer};
use contracts::code::Rich;
use jobs::{CellEvent, CellNews, CodeEnd, Running};
use serde_json::json;
use std::{collections::VecDeque, time::Duration};

struct Teller {
    running: Running,
    /// Events that the reader has, by their number.
    seen: usize,
    waiting: VecDeque<String>,
    begun: bool,
    over: bool,
}

pub(crate) fn stream(running: Running, after: usize, heartbeat: Duration) -> Answer {
    let teller =
        Teller { running, seen: after, waiting: VecDeque::new(), begun: false, over: false };
    events::answer(futures::stream::unfold(teller, move |mut teller| async move {
        let text = teller.next(heartbeat).await?;
        Some((text, teller))
    }))
}

impl Teller {
    async fn next(&mut self, heartbeat: Duration) -> Option<String> {
        if !self.begun {
            self.begun = true;
            let start = json!({"cell_id": self.running.id()});
            return Some(encode(self.seen, "start", &start));
        }
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(text);
            }
            if self.over {
                return None;
            }
            match tokio::time::timeout(heartbeat, self.running.news(self.seen)).await {
                Ok(news) => self.take(news).await,
                Err(_) => return Some(events::HEARTBEAT.to_owned()),
            }
        }
    }

    async fn take(&mut self, news: CellNews) {
        for event in news.events {
            self.seen += 1;
            let (name, data) = match &event {
                CellEvent::Stdout(text) => ("stdout", json!({"text": text})),
                CellEvent::Stderr(text) => ("stderr", json!({"text": text})),
                CellEvent::Rich(Rich::Result { data, metadata }) => {
                    ("result", json!({"data": data, "metadata": metadata}))
                }
                CellEvent::Rich(Rich::Display { data, metadata }) => {
                    ("display", json!({"data": data, "metadata": metadata}))
                }
                CellEvent::Rich(Rich::Error(error)) => ("error", json!(error)),
                CellEvent::Rich(Rich::Stdin { prompt, hidden }) => {
                    ("stdin", json!({"prompt": prompt, "hidden": hidden}))
                }
            };
            self.waiting.push_back(encode(self.seen, name, &data));
        }
        if !news.over {
            return;
        }
        self.over = true;
        // A node that goes away ends the stream without an end: its next life has it.
        let end = match self.running.ended().await {
            Ok(CodeEnd::Answer(answer)) => encode(self.seen, "end", &*answer),
            Ok(CodeEnd::Problem(problem)) => encode(self.seen, "problem", &problem),
            Err(_) => return,
        };
        self.waiting.push_back(end);
    }
}

fn encode(id: usize, name: &str, data: &impl serde::Serialize) -> String {
    // JSON has no raw line breaks, so the data is one line. These types always serialise.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}
