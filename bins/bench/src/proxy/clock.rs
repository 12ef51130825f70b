//! One clock for both ends of this process: the upstream writes its time into frames, the client reads it there.

use std::{sync::LazyLock, time::Instant};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(crate) fn nanos() -> u64 {
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}
