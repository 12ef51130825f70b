//! A person at a terminal who configures the node, and the provider's server that they know.

use crate::{
    dev_model::DevModel,
    node::{ADMIN_TOKEN, binaries},
};
use std::{
    net::SocketAddr,
    process::{Output, Stdio},
};
use tokio::process::Command;

pub(crate) const KEY: &str = "planted-key-of-a-feature";

#[derive(Debug, Default)]
pub(crate) struct Operator {
    server: Option<DevModel>,
    url: String,
    done: Vec<Output>,
}

impl Operator {
    pub(crate) async fn start_server(&mut self) {
        let server = DevModel::start_with_key(KEY).await;
        self.url = format!("http://{}/v1", server.address());
        self.server = Some(server);
    }

    /// A line as in a terminal, in which `SERVER` stands for the provider's address.
    pub(crate) async fn types(&mut self, node: SocketAddr, line: &str) -> &Output {
        let done = Command::new(binaries().join("pinfold"))
            .args(line.split(' ').map(|word| if word == "SERVER" { &self.url } else { word }))
            .env_clear()
            .env("PINFOLD_URL", format!("http://{node}"))
            .env("PINFOLD_ADMIN_TOKEN", ADMIN_TOKEN)
            .env("NVIDIA_API_KEY", KEY)
            .env("NVIDIA_BASE_URL", &self.url)
            .env("WRONG_KEY", "another-key")
            .stdin(Stdio::null())
            .output()
            .await
            .expect("pinfold runs");
        self.done.push(done);
        self.done.last().expect("just done")
    }

    pub(crate) fn printed(&self) -> String {
        self.done.last().map(|done| text(&done.stdout)).unwrap_or_default()
    }

    pub(crate) fn told(&self) -> String {
        self.done.last().map(|done| text(&done.stderr)).unwrap_or_default()
    }

    /// What all commands have written.
    pub(crate) fn everything(&self) -> String {
        self.done.iter().map(|done| text(&done.stdout) + &text(&done.stderr)).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
