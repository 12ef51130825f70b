//! The upstream of a scenario: a real `pinfold dev-model`, on a port of its own.

use crate::{http::Caller, node::binaries};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

#[derive(Debug)]
pub(crate) struct DevModel {
    _child: Child,
    caller: Caller,
}

impl DevModel {
    pub(crate) async fn start() -> Self {
        let mut child = Command::new(binaries().join("pinfold"))
            .args(["dev-model", "--listen", "127.0.0.1:0", "--pace-ms", "5"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the dev model starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.expect("it says something").expect("text").expect("a line");
        let address = line.split_once("http://").and_then(|(_, rest)| rest.split(' ').next());
        let address = address.expect("its address").parse().expect("an address");
        Self { _child: child, caller: Caller { address, token: None } }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.caller.address
    }

    /// What it has counted.
    pub(crate) async fn stats(&self) -> Value {
        self.caller.get("/dev/stats").await.json()
    }
}
