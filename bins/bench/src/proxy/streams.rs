//! Many paced streams at once, each read to its end and each frame checked.

use super::{client::request, clock};
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Microseconds from a frame's sending to its reading, of all streams. A frame that is missing, changed, or out of
/// its order is an error.
pub(crate) fn at_once(
    address: SocketAddr,
    streams: usize,
    frames: u64,
    gap_us: u64,
) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut readers = JoinSet::new();
        for _ in 0..streams {
            readers.spawn(one(address, frames, gap_us));
        }
        let mut late = Vec::new();
        while let Some(read) = readers.join_next().await {
            late.extend(read??);
        }
        Ok(late)
    })
}

async fn one(address: SocketAddr, frames: u64, gap_us: u64) -> anyhow::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = request(&format!("?frames={frames}&gap_us={gap_us}"));
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Chunked::default();
    let mut late = Vec::new();
    while !answer.ended {
        ensure!(stream.read_buf(&mut answer.unread).await? > 0, "a stream was cut");
        let now = clock::nanos();
        answer.decode()?;
        while let Some(frame) = answer.next_frame() {
            if frame == b"data: [DONE]" {
                ensure!(late.len() as u64 == frames, "{} of {frames} frames", late.len());
                continue;
            }
            let json = frame.strip_prefix(b"data: ").context("a frame without data")?;
            let json: serde_json::Value = serde_json::from_slice(json)?;
            ensure!(json["n"] == late.len(), "frame {} in the place of {}", json["n"], late.len());
            ensure!(json["choices"][0]["delta"]["content"] == " stray", "a frame was changed");
            let sent = json["sent_ns"].as_u64().context("when it was sent")?;
            late.push(now.saturating_sub(sent) as f64 / 1000.0);
        }
    }
    ensure!(late.len() as u64 == frames && answer.data.is_empty(), "a stream without its end");
    Ok(late)
}

/// An answer in chunks, taken apart as it comes.
#[derive(Default)]
struct Chunked {
    unread: Vec<u8>,
    data: Vec<u8>,
    in_body: bool,
    ended: bool,
}

impl Chunked {
    fn decode(&mut self) -> anyhow::Result<()> {
        if !self.in_body {
            let Some(end) = position(&self.unread, b"\r\n\r\n") else { return Ok(()) };
            ensure!(self.unread.starts_with(b"HTTP/1.1 200 "), "a stream was refused");
            self.unread.drain(..end + 4);
            self.in_body = true;
        }
        while let Some(end) = position(&self.unread, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.unread[..end])?, 16)?;
            let (begin, whole) = (end + 2, end + 4 + size);
            if self.unread.len() < whole {
                break;
            }
            self.data.extend_from_slice(&self.unread[begin..begin + size]);
            self.unread.drain(..whole);
            self.ended = size == 0;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Vec<u8>> {
        let end = position(&self.data, b"\n\n")?;
        let mut frame: Vec<u8> = self.data.drain(..end + 2).collect();
        frame.truncate(end);
        Some(frame)
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_of_chunks_however_they_are_cut() {
        let wire = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n5\r\ndata:\r\n4\r\n 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n";
        for size in 1..wire.len() {
            let mut answer = Chunked::default();
            let mut frames = Vec::new();
            for part in wire.chunks(size) {
                answer.unread.extend_from_slice(part);
                answer.decode().unwrap();
                frames.extend(std::iter::from_fn(|| answer.next_frame()));
            }
            assert!(answer.ended && frames == [b"data: 1", b"data: 2"], "in pieces of {size}");
        }
    }
}
