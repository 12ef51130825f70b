//! Bytes both ways, once a CONNECT was granted: what comes from one side goes to the other, and the
//! end of one direction is not the end of the other.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    time::{Instant, sleep_until},
};

/// Of each direction. What is read is written before more is read.
const BUFFER_BYTES: usize = 16 << 10;

/// A connection that has stopped to speak HTTP.
pub type TunnelEnd = TokioIo<Upgraded>;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What shall happen to a client's connection once it has read that its CONNECT is granted.
pub struct Tunnel(Box<dyn FnOnce(TunnelEnd) -> Task + Send>);

impl Tunnel {
    /// The future is dropped when the connection is cut, and with it everything that it holds.
    pub fn new<F>(through: impl FnOnce(TunnelEnd) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(|end| Box::pin(through(end))))
    }

    pub(crate) fn open(self, end: TunnelEnd) -> Task {
        (self.0)(end)
    }
}

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum Spliced<E> {
    /// Both sides have said all that they had to say.
    Complete,
    /// Nothing was said for too long.
    Idle,
    /// Bytes that came from this side were not let through.
    Refused(E),
    /// The connection to this side broke.
    Broken(Side, io::Error),
}

/// Moves bytes until both sides have ended. Each piece is shown to `allow` before it is passed on.
pub async fn splice<C, U, E>(
    client: C,
    upstream: U,
    idle: Duration,
    allow: impl Fn(Side, usize) -> Result<(), E>,
) -> Spliced<E>
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = split(client);
    let (from_upstream, to_upstream) = split(upstream);
    let pulse = Pulse { began: Instant::now(), last_ms: 0.into() };
    let out = pump(Side::Client, from_client, to_upstream, &pulse, &allow);
    let back = pump(Side::Upstream, from_upstream, to_client, &pulse, &allow);
    let both = async {
        match tokio::try_join!(out, back) {
            Ok(((), ())) => Spliced::Complete,
            Err(end) => end,
        }
    };
    tokio::select! {
        end = both => end,
        () = pulse.stops(idle) => Spliced::Idle,
    }
}

/// When something was heard last, from either side.
struct Pulse {
    began: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    fn beat(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(since, Relaxed);
    }

    async fn stops(&self, idle: Duration) {
        loop {
            let due = self.began + Duration::from_millis(self.last_ms.load(Relaxed)) + idle;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

async fn pump<R, W, E>(
    side: Side,
    mut from: R,
    mut to: W,
    pulse: &Pulse,
    allow: &impl Fn(Side, usize) -> Result<(), E>,
) -> Result<(), Spliced<E>>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let other = match side {
        Side::Client => Side::Upstream,
        Side::Upstream => Side::Client,
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).await.map_err(|e| Spliced::Broken(side, e))?;
        pulse.beat();
        if read == 0 {
            // A side that is gone altogether is told of by the other direction.
            let _half_closed = to.shutdown().await;
            return Ok(());
        }
        allow(side, read).map_err(Spliced::Refused)?;
        to.write_all(&buffer[..read]).await.map_err(|e| Spliced::Broken(other, e))?;
        pulse.beat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::duplex, join};

    const IDLE: Duration = Duration::from_secs(60);

    fn all(_: Side, _: usize) -> Result<(), ()> {
        Ok(())
    }

    #[tokio::test]
    async fn one_direction_may_end_long_before_the_other() {
        let ((mut client, near), (mut server, far)) = (duplex(8), duplex(8));
        let asks = async {
            client.write_all(b"a long question, and no more").await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answers = async {
            let mut question = String::new();
            server.read_to_string(&mut question).await.unwrap();
            server.write_all(question.to_uppercase().as_bytes()).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let (end, answer, ()) = join!(splice(near, far, IDLE, all), asks, answers);
        assert!(matches!(end, Spliced::Complete));
        assert_eq!(answer, "A LONG QUESTION, AND NO MORE");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_talk_does_not() {
        let ((mut client, near), (_server, far)) = (duplex(64), duplex(64));
        let talks = async {
            for _ in 0..10 {
                tokio::time::sleep(IDLE / 2).await;
                client.write_all(b".").await.unwrap();
            }
            Instant::now()
        };
        let began = Instant::now();
        let (end, spoke) = join!(splice(near, far, IDLE, all), talks);
        assert!(matches!(end, Spliced::Idle));
        assert!(began.elapsed() >= spoke - began + IDLE - Duration::from_millis(2));
    }

    #[tokio::test]
    async fn what_is_refused_does_not_arrive() {
        let ((mut client, near), (mut server, far)) = (duplex(64), duplex(64));
        client.write_all(b"secret").await.unwrap();
        let never = |side, _| if side == Side::Client { Err("no") } else { Ok(()) };
        assert!(matches!(splice(near, far, IDLE, never).await, Spliced::Refused("no")));
        let mut nothing = Vec::new();
        server.read_to_end(&mut nothing).await.unwrap();
        assert!(nothing.is_empty());
    }
}
