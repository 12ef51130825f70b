//! A registry's page: asked for again when it is old, and given as it was when the registry is away.

use super::{
    MAX_PAGE_BYTES, Packages, Source,
    download::{Failure, on_disk},
    npm,
    origin::{self, Origin},
    pypi,
    store::{Found, Key, Meta},
};
use bytes::Bytes;
use http::StatusCode;
use relay::RelayError;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// How long a page holds whose registry does not say, and at most.
const USUAL_AGE: Duration = Duration::from_secs(600);
const MAX_AGE: Duration = Duration::from_secs(3600);

/// An install reads a page, and then files by it: for so long it is one page.
const ONE_INSTALL: Duration = Duration::from_secs(10);

pub(super) enum Kind {
    /// Of PyPI.
    Project(String),
    /// Of npm.
    Versions(String),
    /// An index of Debian: its signature is of these bytes.
    AsItIs,
}

/// What the registry said, and what sandboxes read in its place.
pub(super) struct Page {
    pub(super) raw: Found,
    pub(super) shown: Found,
    pub(super) source: Source,
}

impl Kind {
    fn accept(&self) -> &'static str {
        match self {
            Self::Project(_) => pypi::ACCEPT,
            Self::Versions(_) => npm::ACCEPT,
            Self::AsItIs => "*/*",
        }
    }

    fn shown(&self, meta: &Meta, body: &Bytes) -> Option<(&'static str, Bytes)> {
        match self {
            Self::Project(project) => {
                let page = pypi::page(project, &pypi::read(&meta.content_type, body)?);
                Some(("text/html; charset=utf-8", page.into()))
            }
            Self::Versions(package) => Some(("application/json", npm::rewritten(package, body)?)),
            Self::AsItIs => Some(("application/octet-stream", body.clone())),
        }
    }

    /// How long it holds. Files of an archive refer to each other, and one that changed must be seen
    /// with the others.
    fn age(&self, told: Option<Duration>) -> Duration {
        match self {
            Self::AsItIs => Duration::ZERO,
            _ => told.unwrap_or(USUAL_AGE).clamp(ONE_INSTALL, MAX_AGE),
        }
    }
}

impl Packages {
    pub(super) async fn page(
        &self,
        origin: &Origin,
        path: &str,
        kind: Kind,
    ) -> Result<Page, Failure> {
        let keys = Keys { raw: origin.key(path), shown: origin.key(&format!("{path} shown")) };
        let _alone = self.flights.alone(&keys.raw).await;
        let kept = self.kept(&keys).await?;
        if let Some((raw, shown)) = kept {
            if self.store.is_fresh(&keys.raw) {
                return Ok(Page { raw, shown, source: Source::Hit });
            }
            if origin.rests() {
                return Ok(Page { raw, shown, source: Source::Stale });
            }
            return match self.asked(origin, path, kind, &keys, Some(&raw.meta)).await {
                Ok(Some((raw, shown))) => Ok(Page { raw, shown, source: Source::Miss }),
                Ok(None) => Ok(Page { raw, shown, source: Source::Revalidated }),
                Err(Failure::Away(error)) => {
                    tracing::warn!(
                        code = error.code(),
                        "a registry is away: what is kept is given"
                    );
                    Ok(Page { raw, shown, source: Source::Stale })
                }
                Err(failure) => Err(failure),
            };
        }
        match self.asked(origin, path, kind, &keys, None).await? {
            Some((raw, shown)) => Ok(Page { raw, shown, source: Source::Miss }),
            None => Err(Failure::Unreadable),
        }
    }

    /// None: it is as it was.
    async fn asked(
        &self,
        origin: &Origin,
        path: &str,
        kind: Kind,
        keys: &Keys,
        known: Option<&Meta>,
    ) -> Result<Option<(Found, Found)>, Failure> {
        let _place = self.pages.acquire().await.map_err(|_| Failure::Stopped)?;
        let answer = origin.get(path, kind.accept(), known).await.map_err(Failure::Away)?;
        let fresh_until = Instant::now() + kind.age(origin::max_age(answer.headers()));
        match answer.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => {
                self.store.freshen(&keys.raw, fresh_until);
                return Ok(None);
            }
            StatusCode::OK if origin::is_plain(answer.headers()) => {}
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                return Err(Failure::Away(RelayError::Unfinished));
            }
            StatusCode::OK => return Err(Failure::Unreadable),
            status if status.is_client_error() => return Err(Failure::Absent(status)),
            _ => return Err(Failure::Away(RelayError::Unfinished)),
        }
        let (head, body) = answer.into_parts();
        let body = origin::whole(body, MAX_PAGE_BYTES).await.map_err(Failure::Away)?;
        let body = body.ok_or(Failure::TooLarge { limit: MAX_PAGE_BYTES as u64 })?;
        let (store, keys, meta) =
            (Arc::clone(&self.store), keys.clone(), origin::meta(&head.headers));
        let kept = on_disk(move || {
            let Some((content_type, shown)) = kind.shown(&meta, &body) else { return Ok(None) };
            let mut part = store.part()?;
            part.write(&body)?;
            let raw = part.keep(&keys.raw, meta)?;
            let mut part = store.part()?;
            part.write(&shown)?;
            let meta = Meta { content_type: content_type.to_owned(), ..Meta::default() };
            let shown = part.keep(&keys.shown, meta)?;
            store.freshen(&keys.raw, fresh_until);
            Ok(Some((raw, shown)))
        });
        kept.await?.ok_or(Failure::Unreadable).map(Some)
    }

    async fn kept(&self, keys: &Keys) -> Result<Option<(Found, Found)>, Failure> {
        let (store, keys) = (Arc::clone(&self.store), keys.clone());
        let find = move || Some((store.find(&keys.raw)?, store.find(&keys.shown)?));
        spawn_blocking(find).await.map_err(|_| Failure::Stopped)
    }
}

#[derive(Clone)]
struct Keys {
    raw: Key,
    shown: Key,
}
