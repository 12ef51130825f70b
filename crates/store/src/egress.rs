//! What a sandbox may fetch since its rules were changed: told to the next life of the node, which
//! would read the request's own rules otherwise.

use crate::{
    Store, StoreError,
    jobs::{from_json, json},
};
use contracts::{SandboxId, egress::EgressSpec};
use rusqlite::params;

const PREFIX: &str = "egress/";

impl Store {
    pub async fn set_egress(&self, sandbox: SandboxId, spec: EgressSpec) -> Result<(), StoreError> {
        self.with("egress", move |db| {
            let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                       ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            db.prepare_cached(sql)?.execute(params![key(&sandbox), json(&spec)?]).map(drop)
        })
        .await
    }

    pub async fn egress(&self, sandbox: SandboxId) -> Result<Option<EgressSpec>, StoreError> {
        self.with("egress", move |db| {
            let mut found = db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            let mut rows = found.query([key(&sandbox)])?;
            rows.next()?.map_or(Ok(None), |row| from_json(row, 0))
        })
        .await
    }

    /// Keeps what concerns these sandboxes, and forgets the others, which are gone.
    pub async fn keep_egress(&self, sandboxes: Vec<SandboxId>) -> Result<(), StoreError> {
        self.with("egress", move |db| {
            let mut all = db.prepare_cached("SELECT key FROM meta WHERE key GLOB 'egress/*'")?;
            let keys: Vec<String> =
                all.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            let kept: Vec<String> = sandboxes.iter().map(key).collect();
            for gone in keys.iter().filter(|key| !kept.contains(key)) {
                db.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([gone])?;
            }
            Ok(())
        })
        .await
    }
}

fn key(sandbox: &SandboxId) -> String {
    format!("{PREFIX}{sandbox}")
}
