//! Waits until the inference proxy answers on this sandbox's loopback, before any code of a job is
//! here. Run as a command of its own, never by PID 1.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

const PORT: u16 = 11434;
const LIMIT: Duration = Duration::from_secs(8);
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

pub(crate) fn run() -> Result<(), String> {
    let until = Instant::now() + LIMIT;
    let mut pause = Duration::from_millis(1);
    loop {
        let error = match ask() {
            Ok(true) => return Ok(()),
            Ok(false) => "it answered something else".to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            return Err(format!("the proxy is not ready: {error}"));
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn ask() -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\nok"))
}
