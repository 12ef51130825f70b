//! TLS that comes to the sandbox's own loopback: from a client that resolved a name there and knows of no proxy.
//!
//! ```text
//!   accepted ─► its hello ┬ inference.local, or no rules ──► the gate's own TLS
//!                         └ another name ─► judged as a CONNECT to it, port 443 ┬► spliced
//!                                                                               └► an alert
//! ```

use crate::{
    door::{Admitted, Inner},
    egress::Opening,
    fetch::{self, Hello},
};
use contracts::sandbox::INFERENCE_HOST;
use relay::Handed;
use std::sync::Arc;
use tokio::{net::UnixStream, sync::mpsc};

/// Cheap to clone; clones do the same.
#[derive(Clone)]
pub(crate) struct ByName {
    pub(crate) inner: Arc<Inner>,
    pub(crate) admitted: Arc<Admitted>,
    /// The gate's own TLS.
    pub(crate) home: mpsc::Sender<Handed>,
}

impl ByName {
    pub(crate) async fn meet(self, mut client: UnixStream) {
        let Some(hello) = fetch::hello(&mut client, &self.inner.outside).await else { return };
        if let (Some(name), Some(tenant)) = (other_name(&hello), self.admitted.get()) {
            let policy = tenant.fetching.policy();
            // Without rules nothing is told but that nobody here is whom the client means.
            if policy.has_rules() {
                return fetch::by_name(&self.inner, tenant, &name, hello, client).await;
            }
        }
        let before = hello.into_bytes();
        let _the_door_may_be_closed = self.home.send(Handed { stream: client, before }).await;
    }
}

fn other_name(hello: &Hello) -> Option<String> {
    let Opening::Tls { server_name: Some(name) } = hello.opening() else { return None };
    let name = std::str::from_utf8(name).ok()?;
    (!name.eq_ignore_ascii_case(INFERENCE_HOST)).then(|| name.to_owned())
}
