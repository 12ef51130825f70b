//! Which image a reference means, and whether this node runs it.
//!
//! A reference is looked up at most every few seconds and in between answered from memory, so the
//! hot path asks nobody. What is handed out is an immutable id.

use super::api::{Api, Inspected};
use crate::{EngineError, PinnedImage};
use contracts::ImageRef;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a look-up is believed. An updated tag is seen within this time.
const BELIEVED: Duration = Duration::from_secs(5);
/// References remembered at a time: bounds what callers can make us hold.
const MAX_REMEMBERED: usize = 1024;
/// A pull is a caller's wait, and registries are slow; but not for ever.
const PULL_LIMIT: Duration = Duration::from_secs(600);

/// When an image that is not on this node is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pull {
    /// Not by us: who runs the node puts images on it.
    #[default]
    Never,
    Missing,
}

#[derive(Debug, Clone, Default)]
pub struct ImagePolicy {
    pub pull: Pull,
    /// Globs over the reference as the caller writes it. Empty allows every image on this node.
    pub allow: Vec<String>,
}

pub(super) struct Images {
    api: Arc<Api>,
    pull: Pull,
    allow: Option<GlobSet>,
    known: Mutex<HashMap<ImageRef, (Instant, Arc<PinnedImage>)>>,
}

impl Images {
    pub(super) fn new(api: Arc<Api>, policy: ImagePolicy) -> Result<Self, EngineError> {
        let wrong = |e: globset::Error| EngineError::step("image policy", e);
        let mut globs = GlobSetBuilder::new();
        for glob in &policy.allow {
            globs.add(Glob::new(glob).map_err(wrong)?);
        }
        let allow = match policy.allow.is_empty() {
            true => None,
            false => Some(globs.build().map_err(wrong)?),
        };
        Ok(Self { api, pull: policy.pull, allow, known: Mutex::default() })
    }

    pub(super) async fn pin(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        self.check_allowed(image)?;
        if let Some(pinned) = self.believed(image) {
            return Ok(pinned);
        }
        let found = self.look_up(image).await?;
        self.remember(image, found)
    }

    /// Looks without believing what was seen before, and without pulling.
    pub(super) async fn pin_anew(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        self.check_allowed(image)?;
        self.find(image).await
    }

    /// An image of the node's own: the list of what callers may name is not for it, and it is never
    /// pulled behind the operator's back.
    pub(super) async fn pin_own(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        match self.believed(image) {
            Some(pinned) => Ok(pinned),
            None => self.find(image).await,
        }
    }

    async fn find(&self, image: &ImageRef) -> Result<Arc<PinnedImage>, EngineError> {
        let found = self.api.image(image).await?;
        let missing = || {
            let reason = "it was not found".to_owned();
            EngineError::ImageMissing { image: image.clone(), reason }
        };
        self.remember(image, found.ok_or_else(missing)?)
    }

    fn believed(&self, image: &ImageRef) -> Option<Arc<PinnedImage>> {
        let known = self.known();
        let (seen, pinned) = known.get(image)?;
        (seen.elapsed() < BELIEVED).then(|| Arc::clone(pinned))
    }

    fn check_allowed(&self, image: &ImageRef) -> Result<(), EngineError> {
        if self.allow.as_ref().is_some_and(|allow| !allow.is_match(image.as_str())) {
            let reason = "it is not on this node's list of allowed images".to_owned();
            return Err(EngineError::ImageRefused { image: image.clone(), reason });
        }
        Ok(())
    }

    /// An image that has not changed keeps its one copy: shapes in use share it.
    fn remember(
        &self,
        image: &ImageRef,
        found: Inspected,
    ) -> Result<Arc<PinnedImage>, EngineError> {
        let mut pinned = Arc::new(pinned(image, found)?);
        let mut known = self.known();
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        if let Some((_, before)) = known.get(image)
            && *before == pinned
        {
            pinned = Arc::clone(before);
        }
        known.insert(image.clone(), (Instant::now(), Arc::clone(&pinned)));
        Ok(pinned)
    }

    async fn look_up(&self, image: &ImageRef) -> Result<Inspected, EngineError> {
        if let Some(found) = self.api.image(image).await? {
            return Ok(found);
        }
        let missing = |reason: String| EngineError::ImageMissing { image: image.clone(), reason };
        if self.pull == Pull::Never {
            return Err(missing("it was not found, and the node does not pull images".to_owned()));
        }
        match tokio::time::timeout(PULL_LIMIT, self.api.pull(image)).await {
            Ok(Ok(())) => {}
            // Podman's words name registries and hosts; the log has them, the caller does not.
            Ok(Err(error)) => {
                tracing::warn!(%image, %error, "an image could not be pulled");
                return Err(missing("it was not found, and it could not be pulled".to_owned()));
            }
            Err(_) => {
                return Err(EngineError::Slow { step: "pull", limit: PULL_LIMIT });
            }
        }
        let pulled = self.api.image(image).await?;
        pulled.ok_or_else(|| missing("it was pulled and is not there".to_owned()))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ImageRef, (Instant, Arc<PinnedImage>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks what an image brings with it. An entry of its environment without `=`, or with a
/// wildcard, makes some versions of Podman fill in the host's own value.
fn pinned(image: &ImageRef, inspected: Inspected) -> Result<PinnedImage, EngineError> {
    let mut env = Vec::new();
    for entry in &inspected.env {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() && !name.contains('*') => {
                env.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                let reason = "its environment has an entry without a name or value".to_owned();
                return Err(EngineError::ImageRefused { image: image.clone(), reason });
            }
        }
    }
    let command = inspected.entrypoint.into_iter().chain(inspected.cmd).collect();
    Ok(PinnedImage { reference: image.clone(), id: inspected.id, env, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_env(env: &[&str]) -> Result<PinnedImage, EngineError> {
        let image = ImageRef::new("localhost/x").expect("a reference");
        let env = env.iter().map(|entry| (*entry).to_owned()).collect();
        let inspected = Inspected {
            id: "0".to_owned(),
            env,
            entrypoint: vec!["a".into()],
            cmd: vec!["b".into()],
        };
        pinned(&image, inspected)
    }

    #[test]
    fn an_image_that_asks_for_the_hosts_environment_is_refused() {
        for entry in ["AWS_SECRET_ACCESS_KEY", "*", "AWS_*", "AWS_*=x", "=x"] {
            assert!(with_env(&["PATH=/bin", entry]).is_err(), "{entry}");
        }
    }

    #[test]
    fn an_ordinary_environment_is_kept_in_order() {
        let pinned = with_env(&["PATH=/bin", "A=b=c", "EMPTY="]).expect("accepted");
        assert_eq!(pinned.env[1], ("A".to_owned(), "b=c".to_owned()));
        assert_eq!(pinned.env[2], ("EMPTY".to_owned(), String::new()));
        assert_eq!(pinned.command, ["a", "b"]);
    }
}
