//! What registries say of packages, and what sandboxes ask for: the first byte chooses which.
//!
//! A page that is shown leads to the gate and nowhere else, and holds no word of a registry outside of
//! its place. What it leads to is asked for again by a path that is understood as the same thing.

use gate::packages::pages::{self, Wanted};
use serde_json::Value;

const PROJECT: &str = "a-project";
const PACKAGE: &str = "@a/package";
const JSON: &str = "application/vnd.pypi.simple.v1+json";
const OURS: &str = "http://127.0.0.1:11434";

pub(crate) fn check(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 5 {
        0 => project(JSON, rest),
        1 => project("text/html", rest),
        2 => versions(rest),
        3 => asked(rest),
        _ => link(rest),
    }
}

fn project(content_type: &str, body: &[u8]) {
    let Some((releases, page)) = pages::project(PROJECT, content_type, body) else { return };
    let around = 8;
    assert_eq!(page.matches('<').count(), around + 3 * releases.len(), "a tag of its own: {page}");
    for release in &releases {
        let path = format!("/packages/pypi/files/{PROJECT}/{}/{}", release.sha256, release.file);
        let wanted = pages::wanted(&path.replace('+', "%2B"));
        let (project, sha256, file) =
            (PROJECT.to_owned(), release.sha256.clone(), release.file.clone());
        assert_eq!(wanted, Some(Wanted::Release { project, sha256, file }));
    }
    // Who reads the page that is shown finds the same files, each of them at the gate.
    let again = pages::project(PROJECT, "text/html", page.as_bytes());
    let (shown, page_again) = again.expect("our own page");
    assert_eq!(page_again, page);
    assert_eq!(shown.len(), releases.len());
    for (shown, release) in shown.iter().zip(&releases) {
        let (file, sha256) = (&release.file, &release.sha256);
        assert_eq!((&shown.file, &shown.sha256), (file, sha256));
        assert_eq!(shown.url, format!("../../files/{PROJECT}/{sha256}/{file}"));
    }
}

fn versions(body: &[u8]) {
    let Some(shown) = pages::versions(PACKAGE, body) else { return };
    let document: Value = serde_json::from_slice(&shown).expect("our own document");
    for version in document["versions"].as_object().expect("versions").values() {
        let url = version["dist"]["tarball"].as_str().expect("an address");
        let path = url.strip_prefix(OURS).expect("it leads to the gate");
        let Some(Wanted::Tarball { package, file }) = pages::wanted(path) else {
            panic!("{path} is no tarball");
        };
        assert_eq!(package, PACKAGE);
        let (_, hash) = pages::tarball(body, &file).expect("the registry has it");
        let (at, same) = pages::tarball(&shown, &file).expect("it is shown");
        assert_eq!((at.as_str(), same, hash.len()), (url, hash, 64));
    }
    assert!(pages::versions(PACKAGE, &shown).is_some(), "our own document");
}

fn asked(path: &[u8]) {
    let Ok(path) = std::str::from_utf8(path) else { return };
    let Some(wanted) = pages::wanted(&format!("/packages/{path}")) else { return };
    let safe = |text: &str| {
        text.split('/').all(|part| !["", ".", ".."].contains(&part))
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"%?#\\\"<>".contains(&byte))
    };
    match &wanted {
        Wanted::Project(project) => {
            assert!(safe(project) && !project.contains('/'), "{project}");
            assert_eq!(pages::wanted(&format!("/packages/pypi/simple/{project}/")), Some(wanted));
        }
        Wanted::Release { project, sha256, file } => {
            assert!([project, sha256, file].iter().all(|it| safe(it) && !it.contains('/')));
        }
        Wanted::Versions(package) => {
            assert!(safe(package), "{package}");
            assert_eq!(pages::wanted(&format!("/packages/npm/{package}")), Some(wanted));
        }
        Wanted::Tarball { package, file } => {
            assert!(safe(package) && safe(file) && !file.contains('/'), "{package} {file}");
        }
        Wanted::Archive { path, .. } => assert!(safe(path), "{path}"),
    }
}

/// A link of a page stays at its registry, as every client would read it.
fn link(link: &[u8]) {
    const PAGE: &str = "/simple/a-project/";
    let Ok(link) = std::str::from_utf8(link) else { return };
    let base = "https://registry.test/simple".parse().expect("an address");
    for page in [None, Some(PAGE)] {
        let Some(path) = pages::path_of(&base, link, page) else { continue };
        assert!(path.starts_with('/') && !path.contains(['#', '\\', ' ']), "{path}");
        let uri: http::Uri = format!("https://registry.test{path}").parse().expect("an address");
        assert_eq!(uri.authority().map(|it| it.as_str()), Some("registry.test"));
        let way = path.split('?').next().unwrap_or_default();
        assert!(way.split('/').all(|part| ![".", ".."].contains(&part)), "{path}");
    }
}
