//! All that takes part in a call on one processor: nothing of it waits for another processor to wake up. In a virtual machine
//! that wait is its host's affair, and costs 10 µs or 500.

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::thread;

/// What `work` starts, threads and programs, has to stay there, too.
pub(crate) fn on_one_processor<T: Send>(
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let pinned = || {
        let may = sched_getaffinity(None)?;
        // The first one has most of the interrupts.
        let last = (0..CpuSet::MAX_CPU).rev().find(|processor| may.is_set(*processor));
        let mut one = CpuSet::new();
        one.set(last.context("a processor")?);
        sched_setaffinity(None, &one)?;
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join().ok().context("a panic")?)
}
