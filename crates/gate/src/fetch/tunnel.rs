//! A tunnel that was asked for by CONNECT: TLS to the one host that the rules allow.

use super::{Hello, entry::Entry, hello};
use crate::egress::{Direction, Permit, Reason};
use http::{Response, StatusCode};
use relay::{Answer, AnswerBody, Side, Spliced, Tunnel, TunnelEnd, splice};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// Alerts of RFC 8446, 6.2, which a client shows to whoever reads its error.
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;
/// For a client to take its alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

pub(super) fn answer(permit: Permit, entry: Entry) -> Answer {
    let tunnel = Tunnel::new(|client| through(client, permit, entry));
    let mut answer = Response::new(AnswerBody::Tunnel(tunnel));
    *answer.status_mut() = StatusCode::OK;
    answer
}

async fn through(mut client: TunnelEnd, permit: Permit, entry: Entry) {
    entry.answered(200);
    match hello::read(&mut client, entry.inner.outside.hello).await {
        Some(hello) => greeted(client, hello, permit, entry).await,
        None => entry.ends("client_silent"),
    }
}

/// From the client's hello on.
pub(super) async fn greeted(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    hello: Hello,
    permit: Permit,
    entry: Entry,
) {
    let inner = Arc::clone(&entry.inner);
    let outside = &inner.outside;
    if let Err(denial) = permit.opens(hello.opening()) {
        entry.refused_late(&denial);
        if hello.is_tls() {
            alert(&mut client, ACCESS_DENIED).await;
        }
        return;
    }
    // A hello may come long after its CONNECT was granted: what counts are the rules of now.
    let connected = tokio::select! {
        biased;
        denial = entry.fetching.forbids(&permit, permit.addresses()) => {
            entry.refused_late(&denial);
            return alert(&mut client, ACCESS_DENIED).await;
        }
        connected = outside.connect(&permit) => connected,
    };
    let mut upstream = match connected {
        Ok(upstream) => upstream,
        Err(error) => {
            tracing::debug!(%error, "an allowed host can't be reached");
            entry.ends("upstream_unreachable");
            return alert(&mut client, INTERNAL_ERROR).await;
        }
    };
    // Where a policy that changes later must still let it be.
    let Ok(address) = upstream.peer_addr().map(|address| [address.ip()]) else {
        return entry.ends("upstream_broken");
    };
    if let Err(reason) = entry.spend(Direction::Out, hello.bytes().len()) {
        entry.ends(reason.code());
        return alert(&mut client, ACCESS_DENIED).await;
    }
    let allow = |side, bytes| match side {
        Side::Client => entry.spend(Direction::Out, bytes),
        Side::Upstream => entry.spend(Direction::In, bytes),
    };
    let passed = async {
        if upstream.write_all(hello.bytes()).await.is_err() {
            return "upstream_broken";
        }
        told(&splice(client, upstream, outside.idle, allow).await)
    };
    let end = tokio::select! {
        biased;
        denial = entry.fetching.forbids(&permit, &address) => return entry.cut(&denial),
        end = passed => end,
    };
    entry.ends(end);
}

fn told(end: &Spliced<Reason>) -> &'static str {
    match end {
        Spliced::Complete => "complete",
        Spliced::Idle => "idle",
        Spliced::Refused(reason) => reason.code(),
        Spliced::Broken(Side::Client, _) => "client_gone",
        Spliced::Broken(Side::Upstream, _) => "upstream_broken",
    }
}

/// For a client whose tunnel is none.
pub(super) async fn refused(mut client: impl AsyncWrite + Unpin) {
    alert(&mut client, ACCESS_DENIED).await;
}

/// A fatal alert, in the clear as all are before keys are there.
async fn alert(client: &mut (impl AsyncWrite + Unpin), description: u8) {
    let record = [21, 3, 3, 0, 2, 2, description];
    let told = async {
        client.write_all(&record).await?;
        client.shutdown().await
    };
    let _it_may_have_gone = timeout(ALERT_TIME, told).await;
}
