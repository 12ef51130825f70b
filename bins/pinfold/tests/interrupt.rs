//! Ctrl-C where the node can't be heard: it is obeyed at once, and leaves nothing behind.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn pinfold(listener: &TcpListener) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
    let url = format!("http://{}", listener.local_addr().unwrap());
    command.args(["--url", &url, "--token", "t", "session", "--lang", "bash"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Takes one request and gives the first line of it.
fn take(listener: &TcpListener) -> (TcpStream, String) {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).unwrap();
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    (stream, first)
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// Returns when it has ended; it may take so long and no longer.
fn ends_within(child: &mut Child, limit: Duration) -> Option<i32> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if began.elapsed() > limit {
            child.kill().unwrap();
            panic!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn code_whose_node_went_away_is_left_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = pinfold(&listener).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sleep 100").unwrap();
    let (mut opening, first) = take(&listener);
    assert!(first.starts_with("POST /sessions "), "{first}");
    let body = r#"{"session_id":"s","status":"active"}"#;
    write!(opening, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut running, first) = take(&listener);
    assert!(first.starts_with("POST /sessions/s/execute "), "{first}");
    write!(running, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hello\n\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // The node dies.
    drop((running, opening, listener));
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    // It could not end its session either, and says so.
    assert_eq!(ends_within(&mut child, Duration::from_secs(3)), Some(125));
}

#[test]
fn a_node_that_does_not_answer_an_interrupt_is_left_by_the_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = pinfold(&listener).arg("--keep").spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sleep 100").unwrap();
    let (mut opening, _) = take(&listener);
    let body = r#"{"session_id":"s","status":"active"}"#;
    write!(opening, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let (mut running, _) = take(&listener);
    write!(running, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    let (_unanswered, first) = take(&listener);
    assert!(first.starts_with("POST /sessions/s/interrupt "), "{first}");
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&child);
    assert_eq!(ends_within(&mut child, Duration::from_secs(3)), Some(130));
}

#[test]
fn code_that_is_never_finished_opens_no_session() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut child = pinfold(&listener).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"echo a").unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    ends_within(&mut child, Duration::from_secs(3));
    assert!(listener.accept().is_err(), "nobody was asked for one");
}
