//! Somebody who looks at a terminal through a WebSocket.

use crate::http::Caller;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, ClientRequestBuilder, Message},
};

#[derive(Debug, Default)]
pub(crate) struct Viewer {
    /// Of the terminal.
    pub(crate) path: String,
    socket: Option<WebSocketStream<TcpStream>>,
    /// The position behind what was read.
    pub(crate) at: u64,
    /// What was shown since somebody last looked for something.
    pub(crate) screen: String,
    pub(crate) notes: Vec<Value>,
}

impl Viewer {
    /// Looks at a path; the status if that is refused.
    pub(crate) async fn attach(
        &mut self,
        caller: &Caller,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), u16> {
        let stream = TcpStream::connect(caller.address).await.expect("the node listens");
        let uri = format!("ws://{}{path}", caller.address).parse().expect("an address");
        let mut request = ClientRequestBuilder::new(uri);
        if let Some(token) = &caller.token {
            request = request.with_header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => {
                self.socket = Some(socket);
                self.screen.clear();
                Ok(())
            }
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// As when the network goes.
    pub(crate) fn lose(&mut self) {
        self.socket = None;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.as_mut().expect("attached").send(message).await.expect("sent");
    }

    pub(crate) async fn types(&mut self, text: &str) {
        self.screen.clear();
        self.send(Message::binary(text.as_bytes().to_vec())).await;
    }

    /// Reads until something holds, and at most twenty seconds.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let read = async {
            while !holds(self) {
                match self.socket.as_mut().expect("attached").next().await {
                    Some(Ok(Message::Binary(data))) => {
                        self.at += data.len() as u64;
                        self.screen.push_str(&String::from_utf8_lossy(&data));
                    }
                    Some(Ok(Message::Text(text))) => {
                        let note: Value = serde_json::from_str(text.as_str()).expect("a note");
                        let from = note["terminal"]["from"].as_u64();
                        if let Some(from) = from.or_else(|| note["gap"]["from"].as_u64()) {
                            self.at = from;
                        }
                        self.notes.push(note);
                    }
                    Some(Ok(_)) => {}
                    other => return Err(format!("{other:?}")),
                }
            }
            Ok(())
        };
        let read = tokio::time::timeout(Duration::from_secs(20), read).await;
        let read = read.unwrap_or_else(|_| Err("nothing more".to_owned()));
        read.unwrap_or_else(|why| {
            panic!("no {what}: {why} after {:?} {:?}", self.screen, self.notes)
        });
    }
}
