//! The probe of an image that holds no other program: asks the proxy beside it how it is.

use crate::Place;
use anyhow::{Context, ensure};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(2);
/// More than the answer has.
const MOST_BYTES: u64 = 4096;
const QUESTION: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

pub async fn probe(places: &[Place]) -> anyhow::Result<()> {
    for place in places {
        probe_one(place).await?;
    }
    Ok(())
}

async fn probe_one(place: &Place) -> anyhow::Result<()> {
    let asked = async {
        match place {
            Place::Address(address) => ask(TcpStream::connect(address).await?).await,
            Place::Socket(path) => ask(UnixStream::connect(path).await?).await,
        }
    };
    let answer = timeout(LIMIT, asked).await.with_context(|| format!("{place} is silent"))?;
    let answer = answer.with_context(|| format!("{place} can't be asked"))?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{place} is not well");
    Ok(())
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<Vec<u8>> {
    stream.write_all(QUESTION).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(answer)
}
