//! A plain request in absolute form: made anew for the server that it names, one per connection.

use super::{denied, entry::Entry, failed, outside::socket_addresses};
use crate::egress::{Direction, Permit, Reason};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{HOST, VIA},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use relay::{
    Answer, AnswerBody, Location, RelayError, Relayed, RequestBody, Timeouts, Upstream, headers,
    request::Refusal,
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

const OUR_VIA: HeaderValue = HeaderValue::from_static("1.1 pinfold");

pub(super) async fn answer(permit: Permit, entry: Entry, head: Parts, body: Incoming) -> Answer {
    let entry = Arc::new(entry);
    match send(&permit, &entry, head, body).await {
        Ok(response) => {
            // One that says how long it is and is too long is refused, and not broken off.
            let length = response.body().size_hint().exact();
            let length = length.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
            if let Some(Err(reason)) = length.map(|length| entry.spend(Direction::In, length)) {
                return refused(&permit, &entry, reason);
            }
            entry.answered(response.status().as_u16());
            let is_paid = length.is_some();
            let body = |relayed| Counted { relayed, entry, is_paid, is_over: false };
            response.map(|relayed| AnswerBody::Other(body(relayed).boxed_unsync()))
        }
        Err(error) => match entry.spent() {
            Some(reason) => refused(&permit, &entry, reason),
            None => {
                let (status, code) = (error.status(), error.code());
                entry.answered(status.as_u16());
                entry.ends(code);
                failed(status, code, &error.to_string(), &permit.request().to_string())
            }
        },
    }
}

fn refused(permit: &Permit, entry: &Entry, reason: Reason) -> Answer {
    let denial = permit.request().denied(reason);
    entry.answered(denial.status().as_u16());
    entry.refused_late(&denial);
    denied(&denial, &entry.fetching.policy())
}

async fn send(
    permit: &Permit,
    entry: &Arc<Entry>,
    head: Parts,
    body: Incoming,
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

/// An answer that costs what it brings.
struct Counted {
    relayed: Relayed,
    entry: Arc<Entry>,
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
                    // The client sees an answer that was broken off, and none that looks whole.
                    return Poll::Ready(Some(Err(RelayError::Unfinished)));
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
