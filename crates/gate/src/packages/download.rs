//! A file on its way from a registry to the disk: once, however many ask for it, and kept only if it is
//! what the registry says.

use super::{
    Packages, Source,
    checked::{Check, Checking},
    origin::{self, Origin},
    store::{Found, Key, Part},
};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use relay::RelayError;
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    task::spawn_blocking,
};

/// Written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Why a package can't be given.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("this node has no such registry")]
    Unserved,
    #[error("the registry answered {0}")]
    Absent(StatusCode),
    #[error("the registry can't be asked, and nothing is kept of it")]
    Away(#[source] RelayError),
    #[error("the registry says that the file is at a host which this node does not fetch from")]
    Elsewhere,
    #[error("it is longer than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("what came is not what the registry's hash is of")]
    Mismatch,
    #[error("the registry's answer can't be read")]
    Unreadable,
    #[error("it can't be written to the node's disk")]
    Disk(#[from] io::Error),
    #[error("the node stops")]
    Stopped,
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unserved => StatusCode::NOT_FOUND,
            Self::Absent(status) => *status,
            Self::Away(error) => error.status(),
            Self::Elsewhere | Self::TooLarge { .. } | Self::Mismatch | Self::Unreadable => {
                StatusCode::BAD_GATEWAY
            }
            Self::Disk(_) | Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unserved => "no_such_registry",
            Self::Absent(_) => "registry_refused",
            Self::Away(error) => error.code(),
            Self::Elsewhere => "file_elsewhere",
            Self::TooLarge { .. } => "file_too_large",
            Self::Mismatch => "hash_mismatch",
            Self::Unreadable => "registry_unreadable",
            Self::Disk(_) => "disk",
            Self::Stopped => "stopped",
        }
    }
}

/// Who is fetching what. Whoever comes second waits, and finds it there.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>);

impl Flights {
    pub(super) async fn alone(&self, key: &Key) -> OwnedMutexGuard<()> {
        let flight = {
            let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            flights.retain(|_, flight| flight.strong_count() > 0);
            let known = flights.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let flight = Arc::default();
                flights.insert(key.clone(), Arc::downgrade(&flight));
                flight
            })
        };
        flight.lock_owned().await
    }
}

impl Packages {
    pub(super) async fn file(
        &self,
        key: &Key,
        origin: &Origin,
        path: &str,
        check: Check,
    ) -> Result<(Found, Source), Failure> {
        let _alone = self.flights.alone(key).await;
        if let Some(found) = self.find(key).await? {
            return Ok((found, Source::Hit));
        }
        let _place = self.downloads.acquire().await.map_err(|_| Failure::Stopped)?;
        let answer = origin.get(path, "*/*", None).await.map_err(Failure::Away)?;
        match answer.status() {
            StatusCode::OK if origin::is_plain(answer.headers()) => {}
            StatusCode::OK => return Err(Failure::Unreadable),
            status if status.is_client_error() => return Err(Failure::Absent(status)),
            _ => return Err(Failure::Away(RelayError::Unfinished)),
        }
        let (head, mut body) = answer.into_parts();
        let limit = self.max_file_bytes;
        let store = Arc::clone(&self.store);
        let mut download = on_disk(move || {
            Ok(Download { part: store.part()?, checking: check.begin(), waiting: Vec::new() })
        })
        .await?;
        let (mut bytes, mut waits) = (0, 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(Failure::Away)?.into_data() else { continue };
            bytes += data.len() as u64;
            if bytes > limit {
                return Err(Failure::TooLarge { limit });
            }
            waits += data.len();
            download.waiting.push(data);
            if waits >= PIECE_BYTES {
                waits = 0;
                download = on_disk(move || download.written()).await?;
            }
        }
        let (meta, key) = (origin::meta(&head.headers), key.clone());
        let found = on_disk(move || {
            let Download { part, checking, .. } = download.written()?;
            if checking.agrees() { part.keep(&key, meta).map(Some) } else { Ok(None) }
        });
        Ok((found.await?.ok_or(Failure::Mismatch)?, Source::Miss))
    }
}

struct Download {
    part: Part,
    checking: Checking,
    waiting: Vec<Bytes>,
}

impl Download {
    fn written(mut self) -> io::Result<Self> {
        for data in self.waiting.drain(..) {
            self.checking.see(&data);
            self.part.write(&data)?;
        }
        Ok(self)
    }
}

pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    Ok(spawn_blocking(work).await.map_err(|_| Failure::Stopped)??)
}
