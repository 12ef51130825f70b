//! What can go wrong with the store.

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {path} can't be opened")]
    Open {
        path: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the store {path} has version {found}, this node knows {known}")]
    Newer { path: String, found: u32, known: u32 },
    #[error("the store's thread can't be started")]
    Thread(#[source] std::io::Error),
    #[error("the store failed at {what}")]
    Query {
        what: &'static str,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the store could not commit {what}")]
    Commit { what: &'static str },
    #[error("the store is closed")]
    Closed,
}
