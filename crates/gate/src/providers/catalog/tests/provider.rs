//! A provider of OpenAI's kind that looks at its key, and whose models differ as real ones do.

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{convert::Infallible, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

pub(super) struct Provider {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Provider {
    pub(super) async fn start(key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown: Arc<str> = format!("Bearer {key}").into();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shown = Arc::clone(&shown);
                let service = service_fn(move |request| answer(Arc::clone(&shown), request));
                let serving = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move {
                    // A test's end cuts its connections.
                    let _cut = serving.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, _serving: serving }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

async fn answer(
    shown: Arc<str>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let known = head.headers.get(AUTHORIZATION).is_some_and(|value| value == &*shown);
    let status = match (head.uri.path(), body["model"].as_str()) {
        _ if !known => StatusCode::UNAUTHORIZED,
        ("/v1/models", _) => StatusCode::OK,
        ("/v1/chat/completions", Some("good" | "better")) => StatusCode::OK,
        ("/v1/chat/completions", Some("counts-otherwise")) => {
            match body["max_completion_tokens"].is_number() {
                true => StatusCode::OK,
                false => StatusCode::BAD_REQUEST,
            }
        }
        ("/v1/embeddings", Some("embeds-only")) => StatusCode::OK,
        _ => StatusCode::NOT_FOUND,
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(b"{}")));
    *answer.status_mut() = status;
    Ok(answer)
}
