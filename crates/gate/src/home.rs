//! The gate, asked for as if it were a host outside: `inference.local` of a client that sends all its
//! requests to a proxy.

use crate::{
    egress::{Name, Way},
    fetch,
};
use bytes::Bytes;
use contracts::sandbox::INFERENCE_HOST;
use http::{Uri, request::Parts};
use relay::{Answer, AnswerBody, Handed, Tunnel, splice};
use std::{convert::Infallible, time::Duration};
use tokio::{net::UnixStream, sync::mpsc};

/// For silence on both sides. Whoever answers inside has its own patience, and less of it.
const IDLE: Duration = Duration::from_secs(3600);

pub(crate) enum Asked {
    /// TLS, by CONNECT.
    Tunnel,
    /// In the clear, with what it asks for in its own form.
    Plain(Uri),
}

/// None: it is for somebody else, or for a port that we don't have.
pub(crate) fn asked(head: &Parts) -> Option<Asked> {
    let request = fetch::read(head).ok()?;
    if request.name().map(Name::as_str) != Some(INFERENCE_HOST) {
        return None;
    }
    match (request.way(), request.target().port) {
        (Way::Tunnel, 443) => Some(Asked::Tunnel),
        (Way::Plain, 80) => request.origin_form()?.parse().ok().map(Asked::Plain),
        _ => None,
    }
}

/// Takes connections to the gate's own TLS.
pub(crate) struct Home(mpsc::Sender<Handed>);

impl Home {
    pub(crate) fn new(door: mpsc::Sender<Handed>) -> Self {
        Self(door)
    }

    pub(crate) fn tunnel(&self) -> Answer {
        let door = self.0.clone();
        let through = |client| async move {
            let Ok((near, far)) = UnixStream::pair() else { return };
            if door.send(Handed { stream: far, before: Bytes::new() }).await.is_ok() {
                let _either_may_end_it =
                    splice(client, near, IDLE, |_, _| Ok::<_, Infallible>(())).await;
            }
        };
        Answer::new(AnswerBody::Tunnel(Tunnel::new(through)))
    }
}
