//! A real inference server as the upstream of a scenario: llama.cpp's, with a model of random weights.

use crate::server::Server;
use serde_json::Value;
use std::{net::SocketAddr, path::Path, process::Stdio};
use tokio::process::Command;

/// The name that it serves its model by.
pub(crate) const MODEL: &str = "random";

#[derive(Debug)]
pub(crate) struct RealModel {
    server: Server,
}

impl RealModel {
    pub(crate) async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/real-model.sh");
        let mut command = Command::new(script);
        // It serves until this input ends, and we never write to it.
        command.arg("serve").stdin(Stdio::piped());
        Self { server: Server::start(&mut command, None).await }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.caller.address
    }

    /// Whether its only slot works on a call.
    pub(crate) async fn is_busy(&self) -> bool {
        let slots: Value = self.server.caller.get("/slots").await.json();
        slots[0]["is_processing"].as_bool().unwrap_or_else(|| panic!("{slots}"))
    }

    /// The tokens that it has counted since its start: those of all prompts, and those of all answers.
    pub(crate) async fn tokens(&self) -> (u64, u64) {
        let metrics = self.server.caller.get("/metrics").await.text();
        let count = |name: &str| -> u64 {
            let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let value = value.unwrap_or_else(|| panic!("no {name}: {metrics}"));
            value.parse().expect("a count")
        };
        // What it still knew of an earlier prompt is counted apart.
        let prompts = count("llamacpp:prompt_tokens_total");
        let known = count("llamacpp:prompt_tokens_cached_total");
        (prompts + known, count("llamacpp:tokens_predicted_total"))
    }
}
