//! The least that can stand between two: a thread that copies what comes, either way, and looks at none of it. What it adds
//! is this machine's price of one more party, below which no proxy can come.

use super::hop::Hop;
use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

pub(crate) struct Copier {
    pub(crate) hop: Hop,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl Copier {
    /// Takes one connection, and is done when that is closed.
    pub(crate) fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let hop = Hop::thread("a bare copier", listener.local_addr()?);
        let thread =
            thread::spawn(move || copy(&listener.accept()?.0, &TcpStream::connect(upstream)?));
        Ok(Self { hop, thread })
    }

    pub(crate) fn join(self) -> anyhow::Result<()> {
        self.thread.join().ok().context("the copier panicked")?
    }
}

fn copy(client: &TcpStream, upstream: &TcpStream) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let mut buffer = [0; 16 << 10];
    loop {
        let mut both = [client, upstream].map(|side| PollFd::new(side, PollFlags::IN));
        poll(&mut both, None)?;
        let readable = both.each_ref().map(|side| !side.revents().is_empty());
        for (can, mut from, mut to) in
            [(readable[0], client, upstream), (readable[1], upstream, client)]
        {
            if !can {
                continue;
            }
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                read => to.write_all(&buffer[..read])?,
            }
        }
    }
}
