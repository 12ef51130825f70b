//! What has been asked, and by whom it was given up: the numbers that a test compares.

use hyper::HeaderMap;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Names come from the caller; a caller that invents them must not fill our memory.
const MAX_NAMES: usize = 1000;
/// Where the names are counted that came after those.
const OTHERS: &str = "(others)";

#[derive(Debug, Default)]
pub(super) struct Stats(Mutex<Tally>);

#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct Tally {
    requests: u64,
    open: u64,
    aborted: u64,
    by_path: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    last_headers: BTreeMap<String, String>,
}

impl Stats {
    pub(super) fn begin(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Call {
        let mut tally = self.lock();
        tally.requests += 1;
        tally.open += 1;
        count(&mut tally.by_path, path);
        tally.last_headers = listed(headers);
        Call { stats: Arc::clone(self), ended: false }
    }

    pub(super) fn now(&self) -> Tally {
        self.lock().clone()
    }

    /// Forgets all but the calls in progress, which are a fact and no count.
    pub(super) fn reset(&self) {
        let mut tally = self.lock();
        *tally = Tally { open: tally.open, ..Tally::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        // Numbers are whole after each line above, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call, from its head until its answer's last byte. hyper drops what holds it when the client
/// goes, and that is how an aborted call is known.
#[derive(Debug)]
pub(super) struct Call {
    stats: Arc<Stats>,
    ended: bool,
}

impl Call {
    pub(super) fn names(&self, model: &str) {
        count(&mut self.stats.lock().models, model);
    }

    /// The answer is out, or was broken off by us on purpose.
    pub(super) fn ended(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.stats.lock().open -= 1;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.ended {
            let mut tally = self.stats.lock();
            tally.open -= 1;
            tally.aborted += 1;
        }
    }
}

/// The headers by name. One that came twice has both values, so that a test can see it.
pub(super) fn listed(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut list = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        list.entry(name.as_str().to_owned())
            .and_modify(|values| *values = format!("{values}, {value}"))
            .or_insert(value);
    }
    list
}

fn count(names: &mut BTreeMap<String, u64>, name: &str) {
    let known = names.len() < MAX_NAMES || names.contains_key(name);
    *names.entry(if known { name } else { OTHERS }.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_open_until_it_ends_and_aborted_only_when_it_is_dropped_before() {
        let stats = Arc::new(Stats::default());
        let mut one = stats.begin("/a", &HeaderMap::new());
        let other = stats.begin("/a", &HeaderMap::new());
        assert_eq!(stats.now().open, 2);
        one.ended();
        drop(one);
        drop(other);
        let now = stats.now();
        assert_eq!((now.open, now.aborted, now.by_path["/a"]), (0, 1, 2));
    }

    #[test]
    fn a_reset_keeps_what_is_in_progress() {
        let stats = Arc::new(Stats::default());
        let call = stats.begin("/a", &HeaderMap::new());
        stats.reset();
        assert_eq!((stats.now().requests, stats.now().open), (0, 1));
        drop(call);
        assert_eq!((stats.now().open, stats.now().aborted), (0, 1));
    }

    #[test]
    fn invented_names_are_counted_together() {
        let mut names = BTreeMap::new();
        (0..2 * MAX_NAMES).for_each(|n| count(&mut names, &n.to_string()));
        assert_eq!(names[OTHERS], MAX_NAMES as u64);
    }
}
