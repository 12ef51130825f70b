//! The upstream of a scenario: a real `pinfold dev-model`, on a port of its own.

use crate::{node::binaries, server::Server};
use serde_json::Value;
use std::{net::SocketAddr, process::Stdio};
use tokio::process::Command;

#[derive(Debug)]
pub(crate) struct DevModel {
    server: Server,
}

impl DevModel {
    pub(crate) async fn start() -> Self {
        Self { server: Server::start(&mut command(), None).await }
    }

    /// One that answers only who has this key.
    pub(crate) async fn start_with_key(key: &str) -> Self {
        let mut command = command();
        command.env("PINFOLD_DEV_MODEL_API_KEY", key);
        Self { server: Server::start(&mut command, Some(key)).await }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.caller.address
    }

    /// What it has counted.
    pub(crate) async fn stats(&self) -> Value {
        self.server.caller.get("/dev/stats").await.json()
    }
}

fn command() -> Command {
    let mut command = Command::new(binaries().join("pinfold"));
    command.args(["dev-model", "--listen", "127.0.0.1:0", "--pace-ms", "5"]).stdin(Stdio::null());
    command
}
