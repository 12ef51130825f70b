//! What changes in a session's folder, as server-sent events.
//!
//! A stream that is taken up again can't tell what happened in between, and says so: its first event
//! is an `overflow`, after which a caller looks anew.

use crate::{events, problem::Answer};
use contracts::{file::FileChange, link::files::Change};
use jobs::Watching;
use serde_json::json;
use std::{collections::VecDeque, time::Duration};

struct Teller {
    watching: Watching,
    id: u64,
    waiting: VecDeque<String>,
    over: bool,
}

pub(crate) fn stream(watching: Watching, after: u64, missed: bool, heartbeat: Duration) -> Answer {
    let mut teller = Teller { watching, id: after, waiting: VecDeque::new(), over: false };
    // From here on nothing is missed.
    teller.tell("ready", &json!({}));
    if missed {
        teller.tell("overflow", &json!({}));
    }
    events::answer(futures::stream::unfold(teller, move |mut teller| async move {
        let text = teller.next(heartbeat).await?;
        Some((text, teller))
    }))
}

impl Teller {
    async fn next(&mut self, heartbeat: Duration) -> Option<String> {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(text);
            }
            if self.over {
                return None;
            }
            match tokio::time::timeout(heartbeat, self.watching.next()).await {
                Ok(Some(changes)) => changes.into_iter().for_each(|change| self.take(change)),
                Ok(None) => {
                    self.over = true;
                    self.tell("end", &json!({}));
                }
                Err(_) => return Some(events::HEARTBEAT.to_owned()),
            }
        }
    }

    fn take(&mut self, change: Change) {
        let (name, path, folder) = match change {
            Change::Created { path, folder } => ("created", path, folder),
            Change::Modified { path, folder } => ("modified", path, folder),
            Change::Deleted { path, folder } => ("deleted", path, folder),
            Change::Overflow => return self.tell("overflow", &json!({})),
            Change::Gone => {
                self.over = true;
                return self.tell("gone", &json!({}));
            }
        };
        self.tell(name, &FileChange { path, folder });
    }

    fn tell(&mut self, name: &str, data: &impl serde::Serialize) {
        // Where a caller says that it was may be anything.
        self.id = self.id.wrapping_add(1);
        // JSON has no raw line breaks, so the data is one line. These types always serialise.
        let data = serde_json::to_string(data).unwrap_or_default();
        self.waiting.push_back(format!("id: {}\nevent: {name}\ndata: {data}\n\n", self.id));
    }
}
