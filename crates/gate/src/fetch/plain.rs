//! A plain request in absolute form: made anew for the server that it names, one per connection.

use super::{denied, entry::Entry, failed, outside::socket_addresses};
use crate::egress::{Denial, Direction, Permit, Reason};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{HOST, VIA},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use relay::{
    Answer, AnswerBody, Location, Received, RelayError, Relayed, RequestBody, Timeouts, Upstream,
    headers, request::Refusal,
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

const OUR_VIA: HeaderValue = HeaderValue::from_static("1.1 pinfold");

pub(super) async fn answer(permit: Permit, entry: Entry, head: Parts, body: Received) -> Answer {
    let (permit, entry) = (Arc::new(permit), Arc::new(entry));
    let mut forbidden = forbidden(&permit, &entry);
    let sent = tokio::select! {
        biased;
        denial = &mut forbidden => return refused(&denial, &entry),
        sent = send(&permit, &entry, head, body) => sent,
    };
    match sent {
        Ok(response) => {
            // One that says how long it is and is too long is refused, and not broken off.
            let length = response.body().size_hint().exact();
            let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            if let Some(Err(reason)) = length.map(|length| entry.spend(Direction::In, length)) {
                return refused(&permit.request().denied(reason), &entry);
            }
            entry.answered(response.status().as_u16());
            let is_paid = length.is_some();
            let forbidden = Some(forbidden);
            let body = |relayed| Counted { relayed, entry, forbidden, is_paid, is_over: false };
            response.map(|relayed| AnswerBody::Other(body(relayed).boxed_unsync()))
        }
        Err(error) => match entry.spent() {
            Some(reason) => refused(&permit.request().denied(reason), &entry),
            None => {
                let (status, code) = (error.status(), error.code());
                entry.answered(status.as_u16());
                entry.ends(code);
                failed(status, code, &error.to_string(), &permit.request().to_string())
            }
        },
    }
}

fn refused(denial: &Denial, entry: &Entry) -> Answer {
    entry.answered(denial.status().as_u16());
    entry.refused_late(denial);
    denied(denial, &entry.fetching.policy())
}

/// Over once the rules of the moment would not let such a request through. Which of its addresses it
/// has is not known here: as for a new request, all of them must be allowed.
type Forbidden = Pin<Box<dyn Future<Output = Denial> + Send>>;

fn forbidden(permit: &Arc<Permit>, entry: &Arc<Entry>) -> Forbidden {
    let (permit, fetching) = (Arc::clone(permit), Arc::clone(&entry.fetching));
    Box::pin(async move { fetching.forbids(&permit, permit.addresses()).await })
}

async fn send(
    permit: &Permit,
    entry: &Arc<Entry>,
    head: Parts,
    body: Received,
) -> Result<Response<Relayed>, RelayError> {
    let outside = &entry.inner.outside;
    let unsayable = |_| RelayError::Refused(Refusal::Target);
    let host = permit.request().host_header();
    let location: Location = format!("http://{host}").parse().map_err(|_| Refusal::Target)?;
    let location = location.at(socket_addresses(permit));
    let timeouts = Timeouts {
        connect: outside.connect,
        request_body: outside.idle,
        first_byte: outside.first_byte,
        idle: outside.idle,
        total: None,
    };
    let target = permit.request().origin_form().unwrap_or_default();
    let mut headers = head.headers;
    headers::strip_hop_by_hop(&mut headers);
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| Refusal::Host)?);
    headers.append(VIA, OUR_VIA);
    let spent = |_: Reason| RelayError::TooLarge { limit: 0 };
    entry.spend(Direction::Out, target.len() + bytes_of(&headers)).map_err(spent)?;
    let counted = Arc::clone(entry);
    let body = RequestBody::streamed(body, outside.max_body_bytes)?
        .watched(move |bytes| counted.spend(Direction::Out, bytes).is_ok());
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = target.parse().map_err(unsayable)?;
    *request.headers_mut() = headers;
    Upstream::new(location, None, timeouts).single_use().pass(request).await
}

/// Headers carry as much as bodies, so they cost as much.
fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// An answer that costs what it brings, and goes on for as long as the rules allow it.
struct Counted {
    relayed: Relayed,
    entry: Arc<Entry>,
    /// None once it is broken off.
    forbidden: Option<Forbidden>,
    /// Its length was known, and counted at once.
    is_paid: bool,
    is_over: bool,
}

impl Counted {
    fn complete(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.entry.ends("complete");
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        // The client sees an answer that was broken off, and none that looks whole.
        const BROKEN_OFF: RelayError = RelayError::Unfinished;
        let Some(forbidden) = &mut self.forbidden else {
            return Poll::Ready(Some(Err(BROKEN_OFF)));
        };
        // Before the next bytes, so that none follow the rules' change; and woken by it, too.
        if let Poll::Ready(denial) = forbidden.as_mut().poll(cx) {
            self.forbidden = None;
            self.entry.cut(&denial);
            return Poll::Ready(Some(Err(BROKEN_OFF)));
        }
        let read = ready!(Pin::new(&mut self.relayed).poll_frame(cx));
        Poll::Ready(match read {
            None => {
                self.complete();
                None
            }
            Some(Err(error)) => {
                self.entry.ends(error.code());
                Some(Err(error))
            }
            Some(Ok(frame)) => {
                let data = frame.data_ref().filter(|_| !self.is_paid);
                let bytes = data.map_or(0, Bytes::len);
                if let Err(reason) = self.entry.spend(Direction::In, bytes) {
                    self.entry.ends(reason.code());
                    return Poll::Ready(Some(Err(BROKEN_OFF)));
                }
                // An answer of known length is not asked for more than that.
                if self.relayed.is_end_stream() {
                    self.complete();
                }
                Some(Ok(frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.relayed.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.relayed.size_hint()
    }
}
