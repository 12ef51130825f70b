//! Providers of models: their records, their keys, and who may change them.

mod catalog;
mod key;
mod probe;
mod secret;
mod vault;

pub use catalog::{Catalog, CatalogError};
pub use key::{KeyError, KeySource, MasterKey};
pub use secret::Secret;
pub use vault::{Vault, VaultError};

#[cfg(test)]
mod wiped;
