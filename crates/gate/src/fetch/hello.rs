//! The first bytes of a tunnel: a TLS hello, whole, with the name of the server that it is for.

mod hidden;

use crate::egress::Opening;
use bytes::Bytes;
use std::{fmt, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};
use tokio_rustls::rustls::server::Acceptor;

/// A hello with the largest key shares and a long ticket has a tenth of it.
const MAX_HELLO_BYTES: usize = 64 << 10;
const PIECE_BYTES: usize = 4 << 10;

/// What a client says first, to be passed on as it is. Public for who fuzzes it.
#[derive(Default)]
pub struct Hello {
    bytes: Vec<u8>,
    acceptor: Acceptor,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    #[default]
    Unread,
    Tls(Option<String>),
    /// The name that counts is encrypted.
    Hidden,
    Other,
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hello({} bytes, {:?})", self.bytes.len(), self.state)
    }
}

impl Hello {
    /// Takes what came next; `true` once it is known what this is. What comes in the same piece as
    /// the hello's end is kept with it.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        if self.state != State::Unread {
            return true;
        }
        self.bytes.extend_from_slice(piece);
        self.state = self.read(piece);
        if self.state == State::Unread && self.bytes.len() >= MAX_HELLO_BYTES {
            self.state = State::Other;
        }
        self.state != State::Unread
    }

    fn read(&mut self, mut rest: &[u8]) -> State {
        while !rest.is_empty() {
            match self.acceptor.read_tls(&mut rest) {
                Ok(taken) if taken > 0 => {}
                _ => return State::Other,
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_owned);
                    return match hidden::hides_its_name(&self.bytes) {
                        Some(false) => State::Tls(name),
                        Some(true) => State::Hidden,
                        None => State::Other,
                    };
                }
                Err(_) => return State::Other,
            }
        }
        State::Unread
    }

    /// One that is not whole is no TLS.
    pub fn opening(&self) -> Opening<'_> {
        match &self.state {
            State::Tls(name) => Opening::Tls { server_name: name.as_deref().map(str::as_bytes) },
            State::Hidden => Opening::Hidden,
            State::Unread | State::Other => Opening::Other,
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.state, State::Tls(_) | State::Hidden)
    }

    /// All that was said.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// Reads until the hello is whole. What is none, is too long or too slow is no TLS; none at all is
/// there when the client goes before it has said anything.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin), time: Duration) -> Option<Hello> {
    let mut hello = Hello::default();
    let mut piece = vec![0; PIECE_BYTES];
    let reading = async {
        loop {
            let read = client.read(&mut piece).await.unwrap_or(0);
            if read == 0 || hello.take(&piece[..read]) {
                return;
            }
        }
    };
    let _too_slow_is_no_tls = timeout(time, reading).await;
    (!hello.bytes.is_empty()).then_some(hello)
}

#[cfg(test)]
mod tests;
