//! Packages for sandboxes: pages and files of registries, fetched by the node, checked, and kept for
//! the next one who asks.
//!
//! ```text
//!   path ─► names a package? may this job? ─► kept and fresh ──────────────────────────► given
//!                │                               │ asked again ─ unchanged, or away ─► given (stale)
//!                └► refused                      └► fetched ─► hash agrees ─► kept ─► given
//! ```
//!
//! A file is fetched only from where a page of its registry says, and given only with the hash that
//! the page says. What is kept depends on nothing that a sandbox sends but the name of the package, so
//! no job can put anything there for another.

mod answer;
mod asked;
mod checked;
mod download;
mod npm;
mod origin;
mod page;
pub mod pages;
mod pypi;
mod store;

pub use origin::BaseUrl;

pub(crate) use answer::{answer, is_asked};

use asked::Asked;
use checked::Check;
use contracts::packages::{Registries, Registry};
use download::{Failure, Flights};
use http::StatusCode;
use origin::Origin;
use page::Kind;
use relay::{Timeouts, Trust};
use std::{io, path::PathBuf, sync::Arc};
use store::{Found, Key, Store};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Of one registry's page or index: the longest ones of PyPI have some ten megabytes.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// Downloads at a time, and pages in memory at a time.
const DOWNLOADS: usize = 16;
const PAGES: usize = 4;

/// Which registries there are, and what the node keeps of them.
pub struct PackagesConfig {
    pub pypi: Option<BaseUrl>,
    /// Where files of PyPI may be beside the index's own host.
    pub pypi_files: Vec<BaseUrl>,
    pub npm: Option<BaseUrl>,
    pub debian: Option<BaseUrl>,
    pub debian_security: Option<BaseUrl>,
    pub folder: PathBuf,
    pub max_bytes: u64,
    pub max_entries: usize,
    /// Of one file.
    pub max_file_bytes: u64,
    pub trust: Option<Trust>,
    pub timeouts: Timeouts,
}

pub struct Packages {
    pypi: Option<Pypi>,
    npm: Option<Origin>,
    debian: Option<Origin>,
    debian_security: Option<Origin>,
    store: Arc<Store>,
    max_file_bytes: u64,
    flights: Flights,
    downloads: Semaphore,
    pages: Semaphore,
}

struct Pypi {
    index: Origin,
    files: Vec<Origin>,
}

/// How it came about that something could be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It was there, and nobody was asked.
    Hit,
    /// It was there, and the registry said that it is as before.
    Revalidated,
    /// It was there, and the registry could not be asked.
    Stale,
    Miss,
}

impl Source {
    fn code(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

impl Packages {
    pub fn open(config: PackagesConfig) -> io::Result<Self> {
        let (trust, timeouts) = (config.trust, config.timeouts);
        let origin = |url: BaseUrl| Origin::new(url, trust.clone(), timeouts);
        let files = config.pypi_files.into_iter().map(&origin).collect();
        let pypi = config.pypi.map(|index| Pypi { index: origin(index), files });
        let store = Store::open(config.folder, config.max_bytes, config.max_entries)?;
        Ok(Self {
            pypi,
            npm: config.npm.map(&origin),
            debian: config.debian.map(&origin),
            debian_security: config.debian_security.map(origin),
            store: Arc::new(store),
            max_file_bytes: config.max_file_bytes,
            flights: Flights::default(),
            downloads: Semaphore::new(DOWNLOADS),
            pages: Semaphore::new(PAGES),
        })
    }

    pub(crate) fn serves(&self, registries: Registries) -> bool {
        registries.iter().all(|registry| match registry {
            Registry::Pypi => self.pypi.is_some(),
            Registry::Npm => self.npm.is_some(),
            Registry::Debian => self.debian.is_some(),
        })
    }

    async fn get(&self, asked: &Asked) -> Result<(Found, Source), Failure> {
        match asked {
            Asked::Project(project) => {
                let page = self.project(project).await?;
                Ok((page.shown, page.source))
            }
            Asked::Release { project, sha256, file } => self.release(project, sha256, file).await,
            Asked::Versions(package) => {
                let page = self.versions(package).await?;
                Ok((page.shown, page.source))
            }
            Asked::Tarball { package, file } => self.tarball(package, file).await,
            Asked::Archive { security, path } => self.archive(*security, path).await,
        }
    }

    async fn project(&self, project: &str) -> Result<page::Page, Failure> {
        let pypi = self.pypi.as_ref().ok_or(Failure::Unserved)?;
        let path = pypi.index.beneath(&format!("{project}/"));
        self.page(&pypi.index, &path, Kind::Project(project.to_owned())).await
    }

    async fn release(
        &self,
        project: &str,
        sha256: &str,
        file: &str,
    ) -> Result<(Found, Source), Failure> {
        let pypi = self.pypi.as_ref().ok_or(Failure::Unserved)?;
        let key = Key::of(&["pypi", sha256]);
        if let Some(found) = self.find(&key).await? {
            return Ok((found, Source::Hit));
        }
        let (page, wanted) =
            (self.project(project).await?.raw, (sha256.to_owned(), file.to_owned()));
        let url = self.looked_up(move || {
            let releases = pypi::read(&page.meta.content_type, &page.read().ok()?)?;
            let is_it = |it: &pypi::Release| it.sha256 == wanted.0 && it.file == wanted.1;
            releases.into_iter().find(is_it).map(|release| release.url)
        });
        let url = url.await?;
        let page_path = pypi.index.beneath(&format!("{project}/"));
        let own = pypi.index.path_of(&url, Some(&page_path)).map(|path| (&pypi.index, path));
        let elsewhere = || {
            let mut places = pypi.files.iter();
            places.find_map(|origin| Some((origin, origin.path_of(&url, None)?)))
        };
        let (origin, path) = own.or_else(elsewhere).ok_or(Failure::Elsewhere)?;
        self.file(&key, origin, &path, Check::sha256(sha256)).await
    }

    async fn versions(&self, package: &str) -> Result<page::Page, Failure> {
        let npm = self.npm.as_ref().ok_or(Failure::Unserved)?;
        let path = npm.beneath(&package.replace('/', "%2f"));
        self.page(npm, &path, Kind::Versions(package.to_owned())).await
    }

    async fn tarball(&self, package: &str, file: &str) -> Result<(Found, Source), Failure> {
        let npm = self.npm.as_ref().ok_or(Failure::Unserved)?;
        let key = npm.key(&format!("{package} {file}"));
        if let Some(found) = self.find(&key).await? {
            return Ok((found, Source::Hit));
        }
        let (page, file) = (self.versions(package).await?.raw, file.to_owned());
        let tarball = self.looked_up(move || npm::tarball(&page.read().ok()?, &file)).await?;
        let path = npm.path_of(&tarball.url, None).ok_or(Failure::Elsewhere)?;
        self.file(&key, npm, &path, Check::Sha512(tarball.sha512)).await
    }

    /// Apt checks everything itself, down from a signature. Here only what is named by its hash is.
    async fn archive(&self, security: bool, path: &str) -> Result<(Found, Source), Failure> {
        let origin = if security { &self.debian_security } else { &self.debian };
        let origin = origin.as_ref().ok_or(Failure::Unserved)?;
        let below = origin.beneath(path);
        let hash = path.split_once("/by-hash/SHA256/").map(|(_, hash)| hash);
        let check = match hash.filter(|hash| asked::is_sha256(hash)) {
            Some(hash) => Check::sha256(hash),
            None if path.starts_with("pool/") => Check::Nothing,
            None => {
                let page = self.page(origin, &below, Kind::AsItIs).await?;
                return Ok((page.shown, page.source));
            }
        };
        let key = origin.key(path);
        match self.find(&key).await? {
            Some(found) => Ok((found, Source::Hit)),
            None => self.file(&key, origin, &below, check).await,
        }
    }

    async fn find(&self, key: &Key) -> Result<Option<Found>, Failure> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        spawn_blocking(move || store.find(&key)).await.map_err(|_| Failure::Stopped)
    }

    /// Pages can be long, and reading one takes a while.
    async fn looked_up<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let _place = self.pages.acquire().await.map_err(|_| Failure::Stopped)?;
        let found = spawn_blocking(look).await.map_err(|_| Failure::Stopped)?;
        found.ok_or(Failure::Absent(StatusCode::NOT_FOUND))
    }
}
