//! A caller of the node, as plain as curl.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON ({}): {}", self.status, self.text()))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

impl Caller {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Bytes::new(), &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send("POST", path, body.into(), &[]).await
    }

    /// What was answered until a text was in it, or the answer's end.
    pub(crate) async fn get_until(&self, path: &str, text: &str) -> String {
        let token = self.token.as_deref().unwrap_or_default();
        let head =
            format!("GET {path} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\n\r\n");
        let mut seen = Vec::new();
        let Ok(mut stream) = TcpStream::connect(self.address).await else { return String::new() };
        let read = async {
            stream.write_all(head.as_bytes()).await.ok()?;
            // An answer that is not there yet ends without the text, and the connection stays open.
            while !String::from_utf8_lossy(&seen).contains(text) && !seen.starts_with(b"HTTP/1.1 4")
            {
                if stream.read_buf(&mut seen).await.ok()? == 0 {
                    break;
                }
            }
            Some(())
        };
        let _late = tokio::time::timeout(std::time::Duration::from_secs(10), read).await;
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// The whole answer, or a status of 0 when the connection ended without one.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Answer {
        let none = Answer {
            status: 0,
            kind: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        self.try_send(method, path, body, headers).await.unwrap_or(none)
    }

    async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Option<Answer> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        let response = sender.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some(Answer { status, kind, headers, body })
    }
}
