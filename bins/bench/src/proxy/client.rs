//! A client that keeps its connection and blocks: nothing of it stands between two clock readings but the call.

use super::clock::micros;
use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const BODY: &str = r#"{"model":"bench","messages":[{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"What is a pinfold?"}],"temperature":0}"#;

pub(crate) fn request(query: &str) -> String {
    let length = BODY.len();
    format!(
        "POST /v1/chat/completions{query} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n\
         content-type: application/json\r\nuser-agent: bench\r\ncontent-length: {length}\r\n\r\n{BODY}"
    )
}

pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    buffer: Box<[u8; 16 << 10]>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, answer: Vec::new(), buffer: Box::new([0; 16 << 10]) })
    }

    /// Microseconds from the request's first byte to the answer's last.
    pub(crate) fn call(&mut self, request: &str) -> anyhow::Result<f64> {
        let began = Instant::now();
        self.send(request)?;
        while !is_whole(&self.answer)? {
            self.read()?;
        }
        Ok(micros(began))
    }

    /// Microseconds to the first data of a stream, which is then read to its end.
    pub(crate) fn first_data(&mut self, request: &str) -> anyhow::Result<f64> {
        let began = Instant::now();
        self.send(request)?;
        while !contains(&self.answer, b"data: ") {
            self.read()?;
        }
        let took = micros(began);
        while !self.answer.ends_with(b"\r\n0\r\n\r\n") {
            self.read()?;
        }
        Ok(took)
    }

    fn send(&mut self, request: &str) -> anyhow::Result<()> {
        self.answer.clear();
        self.stream.write_all(request.as_bytes())?;
        Ok(())
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read(&mut self.buffer[..])?;
        ensure!(read > 0, "the connection was closed");
        self.answer.extend_from_slice(&self.buffer[..read]);
        Ok(())
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Whether an answer with a length is there to its end. It must be a good one.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
    let head = std::str::from_utf8(&answer[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length.context("an answer without a length")?.parse()?;
    Ok(answer.len() >= end + 4 + length)
}
