//! The first bytes of a tunnel: a TLS hello, whole, with the name of the server that it is for.

use crate::egress::Opening;
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};
use tokio_rustls::rustls::server::Acceptor;

/// A hello with the largest key shares and a long ticket has a tenth of it.
const MAX_HELLO_BYTES: usize = 64 << 10;
const PIECE_BYTES: usize = 4 << 10;

/// What a client says first, to be passed on as it is.
#[derive(Debug, Default)]
pub(super) struct Hello {
    pub(super) bytes: Vec<u8>,
    pub(super) is_tls: bool,
    server_name: Option<String>,
}

impl Hello {
    pub(super) fn opening(&self) -> Opening<'_> {
        match self.is_tls {
            true => Opening::Tls { server_name: self.server_name.as_deref().map(str::as_bytes) },
            false => Opening::Other,
        }
    }
}

/// Reads until the hello is whole. What is none, is too long or too slow is no TLS; none at all is
/// there when the client goes before it has said anything.
pub(super) async fn read(client: &mut (impl AsyncRead + Unpin), time: Duration) -> Option<Hello> {
    let mut hello = Hello::default();
    let mut acceptor = Acceptor::default();
    let mut piece = vec![0; PIECE_BYTES];
    let reading = async {
        while hello.bytes.len() < MAX_HELLO_BYTES {
            let read = client.read(&mut piece).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            hello.bytes.extend_from_slice(&piece[..read]);
            let mut rest = &piece[..read];
            while !rest.is_empty() {
                match acceptor.read_tls(&mut rest) {
                    Ok(taken) if taken > 0 => {}
                    _ => return,
                }
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        let name = accepted.client_hello().server_name().map(str::to_owned);
                        (hello.is_tls, hello.server_name) = (true, name);
                        return;
                    }
                    Err(_) => return,
                }
            }
        }
    };
    let _too_slow_is_no_tls = timeout(time, reading).await;
    (!hello.bytes.is_empty()).then_some(hello)
}
