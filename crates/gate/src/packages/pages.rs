//! What is understood of registries and of sandboxes, without I/O. Public for who fuzzes it.

pub use super::{
    asked::{Asked as Wanted, read as wanted},
    npm::rewritten as versions,
    pypi::Release,
};

use super::{BaseUrl, npm, pypi};

/// The files of a project's page, and the page that a sandbox reads.
pub fn project(project: &str, content_type: &str, body: &[u8]) -> Option<(Vec<Release>, String)> {
    let releases = pypi::read(content_type, body)?;
    let page = pypi::page(project, &releases);
    Some((releases, page))
}

/// Where a tarball is, and its SHA-512.
pub fn tarball(body: &[u8], file: &str) -> Option<(String, Vec<u8>)> {
    npm::tarball(body, file).map(|tarball| (tarball.url, tarball.sha512))
}

/// The path at a registry that a link leads to, if it leads there.
pub fn path_of(registry: &BaseUrl, link: &str, page: Option<&str>) -> Option<String> {
    registry.path_of(link, page)
}
