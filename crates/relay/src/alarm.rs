//! Timers for the many deadlines that are nearly never reached: one per connection, set once and then moved only when
//! it rings. To set and clear one for every request would cost more than the request's own reads and writes.

use hyper::rt::{Sleep as HyperSleep, Timer};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes whoever polled it last, sometimes for nothing.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `due` has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            // It was set for an earlier deadline, which was met.
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// The HTTP library's timer for one connection, where it waits for one thing at a time.
#[derive(Clone, Default)]
pub(crate) struct ConnectionTimer(Arc<Mutex<Alarm>>);

impl Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn HyperSleep>> {
        self.sleep_until((Instant::now() + duration).into_std())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn HyperSleep>> {
        Box::pin(Due { due: deadline.into(), alarm: Arc::clone(&self.0) })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

impl fmt::Debug for ConnectionTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionTimer")
    }
}

struct Due {
    due: Instant,
    alarm: Arc<Mutex<Alarm>>,
}

impl Future for Due {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner).poll(cx, self.due)
    }
}

impl HyperSleep for Due {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn rings(alarm: &mut Alarm, after: Duration) -> Duration {
        let began = Instant::now();
        poll_fn(|cx| alarm.poll(cx, began + after)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_due_however_it_was_set_before() {
        let mut alarm = Alarm::default();
        for seconds in [10, 20, 5, 5, 60] {
            let after = Duration::from_secs(seconds);
            assert_eq!(rings(&mut alarm, after).await, after);
            // One that was met, and stays set.
            let unmet = poll_fn(|cx| Poll::Ready(alarm.poll(cx, Instant::now() + after))).await;
            assert!(unmet.is_pending());
        }
    }
}
