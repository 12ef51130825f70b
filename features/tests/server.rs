//! A server that a scenario starts: it takes a port of its own, and its first line says which.

use crate::http::Caller;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// It ends with its owner.
#[derive(Debug)]
pub(crate) struct Server {
    _child: Child,
    pub(crate) caller: Caller,
}

impl Server {
    /// What it does with its standard input is the command's business.
    pub(crate) async fn start(command: &mut Command, token: Option<&str>) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("it says something").expect("text");
        let line = line.unwrap_or_else(|| panic!("it ended at once: {command:?}"));
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next());
        let address = address.expect("its address").parse().expect("an address");
        Self { _child: child, caller: Caller { address, token: token.map(str::to_owned) } }
    }
}
