//! Registries of one scenario, as a program beside it; cut off by ending it.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

#[derive(Debug)]
pub(crate) struct Registries {
    child: Child,
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _reader: JoinSet<()>,
}

impl Registries {
    /// With a folder they are an archive of Debian, too, whose key they leave there.
    pub(crate) async fn start(folder: Option<&Path>) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/registry.py");
        let mut child = Command::new("python3")
            .arg(program)
            .args(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is on this host");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next_line().await.expect("text").expect("a port");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                seen.lock().expect("not poisoned").push(line);
            }
        });
        let port = port.parse().expect("a port");
        Self { child, port, asked, _reader: reader }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }

    pub(crate) async fn cut(&mut self) {
        self.child.kill().await.expect("ended");
    }
}
