//! The providers and routes of a node: kept in the store, changed by operators, and read by every
//! call as one table that never changes under it.
//!
//! A change is checked, tried by a real call if it is wanted, committed, and then the table is
//! swapped. A change that fails at any step leaves the table as it was.

mod assembly;
mod error;
mod records;
mod targets;

pub use error::CatalogError;

use super::{
    key::{KeySource, MasterKey},
    vault::{Place, Vault},
};
use crate::routes::RouteTable;
use assembly::Health;
use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::{ProviderName, RouteAlias};
use relay::Trust;
use std::{collections::BTreeMap, sync::Arc};
use store::{ProviderRow, RouteRow, Store};
use tokio::sync::{Mutex, watch};
use tokio_util::task::TaskTracker;

/// Sealed with the key that a node starts with, and opened at each start after: another key is found
/// out before it seals anything.
const CHECK: &str = "provider_key_check";
const CHECK_TEXT: &[u8] = b"pinfold";
const CHECK_PLACE: Place<'static> = Place { column: "check", name: "", revision: 0 };

/// Cheap to clone; the clones are one catalogue.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    store: Store,
    vault: Vault,
    /// Whom to believe. Without it, providers with TLS can't be reached.
    trust: Option<Trust>,
    rows: Mutex<Rows>,
    table: watch::Sender<Arc<RouteTable>>,
    /// A commit goes on when the one who asked for it hangs up, so that store and table stay one.
    commits: TaskTracker,
}

/// What the store holds, and what is learned of it. One change at a time.
struct Rows {
    providers: BTreeMap<ProviderName, ProviderRow>,
    routes: BTreeMap<RouteAlias, RouteRow>,
    health: Health,
}

impl Catalog {
    /// Takes up what the store holds. A key that can't open it is an error, and changes nothing.
    pub async fn open(
        store: Store,
        source: &KeySource,
        trust: Option<Trust>,
    ) -> Result<Self, CatalogError> {
        let providers = store.providers().await?;
        // Where nothing is sealed any more, no key is the wrong one.
        let is_sealed = providers.iter().any(|row| row.credential.is_some());
        let check = store.meta(CHECK).await?.filter(|_| is_sealed);
        let key = source.read(!is_sealed)?;
        let vault = proven(&store, &key, check).await?;
        let routes = store.routes().await?;
        let rows = Rows {
            providers: providers.into_iter().map(|row| (row.name.clone(), row)).collect(),
            routes: routes.into_iter().map(|row| (row.alias.clone(), row)).collect(),
            health: Health::default(),
        };
        let inner = Inner {
            store,
            vault,
            trust,
            rows: Mutex::new(rows),
            table: watch::Sender::default(),
            commits: TaskTracker::new(),
        };
        inner.swap(&mut *inner.rows.lock().await);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The routes as they are now. A call takes them once, and never waits for it.
    pub fn table(&self) -> Arc<RouteTable> {
        Arc::clone(&self.inner.table.borrow())
    }

    /// For who must hear of every change.
    pub fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.inner.table.subscribe()
    }

    /// Runs to its end, whether the one who asked stays or goes.
    async fn commit<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CatalogError>> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let done = self.inner.commits.spawn(work).await;
        done.unwrap_or_else(|error| Err(CatalogError::Broken(error)))
    }
}

impl Inner {
    /// Puts the table of these rows in the place of the last one.
    fn swap(&self, rows: &mut Rows) {
        let generation = self.table.borrow().generation + 1;
        let table = assembly::assemble(generation, rows, &self.vault, self.trust.as_ref());
        self.table.send_replace(Arc::new(table));
    }
}

async fn proven(
    store: &Store,
    key: &MasterKey,
    check: Option<String>,
) -> Result<Vault, CatalogError> {
    let vault = Vault::new(key);
    match check {
        Some(check) => {
            let sealed = BASE64_STANDARD.decode(check).map_err(|_| CatalogError::WrongKey)?;
            vault.open(CHECK_PLACE, &sealed).map_err(|_| CatalogError::WrongKey)?;
        }
        None => {
            let sealed = vault.seal(CHECK_PLACE, CHECK_TEXT)?;
            store.set_meta(CHECK, BASE64_STANDARD.encode(sealed)).await?;
        }
    }
    Ok(vault)
}

#[cfg(test)]
mod tests;
