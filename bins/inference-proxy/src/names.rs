//! DNS over UDP: each question is handed to the upstream as RFC 8484 has it, and the answer handed back. What
//! a question means, and whether it has an answer, is not looked at here.

use anyhow::Context;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderValue},
};
use relay::{Dialect, RequestBody, Upstream};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, sync::Semaphore, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

const PATH: &str = "/dns-query";
const MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");
/// RFC 1035, 2.3.4: of a message over UDP.
const MAX_BYTES: usize = 512;
/// Shorter than what a resolver waits before it asks once more.
const PATIENCE: Duration = Duration::from_secs(2);
/// At a time; more of them wait in the kernel's queue, and are lost beyond it, as is UDP's way.
const QUESTIONS: usize = 32;

pub(crate) struct Names {
    socket: UdpSocket,
    upstream: Upstream,
}

impl Names {
    pub(crate) async fn listen(listen: SocketAddr, upstream: Upstream) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(listen).await;
        let socket = socket.with_context(|| format!("can't listen on {listen} (UDP)"))?;
        tracing::info!(names = %socket.local_addr()?, "inference-proxy answers DNS");
        Ok(Self { socket, upstream })
    }

    pub(crate) async fn serve(self, stop: CancellationToken) {
        let (this, mut asking) = (Arc::new(self), JoinSet::new());
        let places = Arc::new(Semaphore::new(QUESTIONS));
        let mut message = [0; MAX_BYTES + 1];
        loop {
            let question = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, this.socket.recv_from(&mut message).await)
            };
            let (place, received) = tokio::select! {
                () = stop.cancelled() => break,
                question = question => question,
            };
            while asking.try_join_next().is_some() {}
            // An error here is a former answer's, whose asker has gone.
            let Ok((length @ ..=MAX_BYTES, asker)) = received else { continue };
            let (this, message) = (Arc::clone(&this), Bytes::copy_from_slice(&message[..length]));
            asking.spawn(async move {
                let _place = place;
                let answer = timeout(PATIENCE, this.ask(message.clone())).await.ok().flatten();
                if let Some(answer) = answer.or_else(|| failed(&message)) {
                    let _it_asks_again = this.socket.send_to(&answer, asker).await;
                }
            });
        }
        asking.shutdown().await;
    }

    async fn ask(&self, message: Bytes) -> Option<Bytes> {
        let mut request = Request::new(RequestBody::whole(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = PATH.parse().ok()?;
        request.headers_mut().insert(CONTENT_TYPE, MESSAGE);
        let answer = self.upstream.send(request, Dialect::OpenAi).await.ok()?;
        if answer.status() != StatusCode::OK || answer.headers().get(CONTENT_TYPE) != Some(&MESSAGE)
        {
            return None;
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        body.ok().map(|body| body.to_bytes())
    }
}

/// The question itself, marked as an answer that says that the server failed: who asks is not left to wait. None for
/// what is no question.
fn failed(message: &[u8]) -> Option<Bytes> {
    let mut answer = message.to_vec();
    let flags = answer.get_mut(2..4)?;
    if flags[0] & 0x80 != 0 {
        return None;
    }
    flags[0] |= 0x80;
    flags[1] = 0x82;
    Some(answer.into())
}
