//! The node's API as a client sees it: one connection per request, problems as errors.

use anyhow::{Context, bail};
use bytes::Bytes;
use contracts::{Hidden, problem::Problem};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Frame, Incoming},
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, io};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};
use tokio_tungstenite::tungstenite::{self, ClientRequestBuilder, protocol::WebSocketConfig};

/// Largest answer that is read whole: a result with both streams at their largest, and artifacts.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Largest message of a WebSocket.
const MAX_SOCKET_BYTES: usize = 1 << 20;

pub(crate) type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

pub(crate) struct Client {
    authority: String,
    token: Hidden,
}

/// What the node refused, or failed at.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Problem);

impl Refused {
    /// Whether asking again can't help.
    pub(crate) fn is_final(&self) -> bool {
        self.0.status < 500
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { title, status, detail, .. } = &self.0;
        match detail {
            Some(detail) => write!(f, "{title} ({status}): {detail}"),
            None => write!(f, "{title} ({status})"),
        }
    }
}

impl std::error::Error for Refused {}

/// An answer under way, with the task that moves its bytes.
pub(crate) struct Streaming {
    pub(crate) response: Response<Incoming>,
    _driver: JoinSet<()>,
}

/// What is sent to the node, at once or as it is made.
pub(crate) struct RequestBody(UnsyncBoxBody<Bytes, io::Error>);

impl RequestBody {
    fn whole(bytes: Bytes) -> Self {
        Self(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }

    /// Pieces until the channel closes; an error breaks the request off.
    pub(crate) fn pieces(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        let frames = futures::stream::unfold(pieces, |mut pieces| async move {
            let piece = pieces.recv().await?;
            Some((piece.map(Frame::data), pieces))
        });
        Self(BodyExt::boxed_unsync(StreamBody::new(frames)))
    }
}

impl Client {
    pub(crate) fn new(url: &str, token: Hidden) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not an address"))?;
        if uri.scheme_str() != Some("http") {
            bail!(
                "{url}: only http:// is spoken here; put a tunnel before a node that is elsewhere"
            );
        }
        let authority = uri.authority().context("the address has no host")?;
        if !["", "/"].contains(&uri.path()) || uri.query().is_some() {
            bail!("{url}: the node is asked at its root; leave out what is behind the host");
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{}:{port}", authority.host()), token })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        parse(&self.bytes(Method::GET, path, Bytes::new()).await?)
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.send_json(Method::POST, path, body).await
    }

    pub(crate) async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body).context("the request can't be written")?;
        parse(&self.bytes(method, path, body.into()).await?)
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.bytes(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    /// The whole body of a successful answer.
    pub(crate) async fn bytes(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let answer = self.send(method, path, RequestBody::whole(body), &[]).await?;
        whole(answer).await
    }

    /// Sends a body as it is made; of so many bytes, if that is known.
    pub(crate) async fn put(
        &self,
        path: &str,
        body: RequestBody,
        size: Option<u64>,
    ) -> anyhow::Result<Bytes> {
        let headers: Vec<_> =
            size.map(|size| (CONTENT_LENGTH.as_str(), size.to_string())).into_iter().collect();
        whole(self.send(Method::PUT, path, body, &headers).await?).await
    }

    /// An answer whose body is read as it comes.
    pub(crate) async fn stream(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> anyhow::Result<Streaming> {
        self.stream_to(Method::GET, path, Bytes::new(), headers).await
    }

    /// The same for a request of any kind.
    pub(crate) async fn stream_to(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        headers: &[(&'static str, String)],
    ) -> anyhow::Result<Streaming> {
        let answer = self.send(method, path, RequestBody::whole(body), headers).await?;
        let status = answer.response.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = Limited::new(answer.response.into_body(), 1 << 20).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Err(refusal(status, &body))
    }

    /// A WebSocket to the node.
    pub(crate) async fn socket(&self, path: &str) -> anyhow::Result<Socket> {
        let stream = self.connect().await?;
        let uri = format!("ws://{}{path}", self.authority).parse()?;
        let bearer = format!("Bearer {}", self.token.reveal());
        let request = ClientRequestBuilder::new(uri).with_header("Authorization", bearer);
        let config = WebSocketConfig::default()
            .max_frame_size(Some(MAX_SOCKET_BYTES))
            .max_message_size(Some(MAX_SOCKET_BYTES));
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err(refusal(answer.status(), body))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let connected = TcpStream::connect(&self.authority).await;
        connected.with_context(|| format!("no node answers at {}", self.authority))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: RequestBody,
        headers: &[(&'static str, String)],
    ) -> anyhow::Result<Streaming> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A broken connection shows itself in the answer.
            let _broken = connection.await;
        });
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {}", self.token.reveal()));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        // What was not typed by us is the token.
        let request = request.body(body.0).context("the token can't be sent")?;
        let response = sender.send_request(request).await?;
        Ok(Streaming { response, _driver: driver })
    }
}

/// The whole body of a successful answer.
async fn whole(answer: Streaming) -> anyhow::Result<Bytes> {
    let status = answer.response.status();
    let body = Limited::new(answer.response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|e| anyhow::anyhow!(e)).context("the answer broke off")?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
}

fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Refused(problem).into(),
        Err(_) => anyhow::anyhow!("the node answered {status}"),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).context("the node's answer is not what was expected")
}
