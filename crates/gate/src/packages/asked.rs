//! What a package client asks for. A path that is not one of these names nothing, whatever the
//! registry would make of it.

use contracts::packages::Registry;

/// Where all of it is, on the gate's own name.
pub(crate) const PREFIX: &str = "/packages/";

const MAX_NAME_BYTES: usize = 214;
const MAX_FILE_BYTES: usize = 255;
const MAX_SEGMENTS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The page of a project, by its canonical name.
    Project(String),
    /// One file of a project, by the hash that its page gives.
    Release {
        project: String,
        sha256: String,
        file: String,
    },
    /// All versions of a package.
    Versions(String),
    Tarball {
        package: String,
        file: String,
    },
    /// A path beneath a mirror of Debian's main archive, or of its security archive.
    Archive {
        security: bool,
        path: String,
    },
}

impl Asked {
    pub(super) fn registry(&self) -> Registry {
        match self {
            Self::Project(_) | Self::Release { .. } => Registry::Pypi,
            Self::Versions(_) | Self::Tarball { .. } => Registry::Npm,
            Self::Archive { .. } => Registry::Debian,
        }
    }

    /// For the audit: names of packages and files, which are public.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Project(project) => project.clone(),
            Self::Release { file, .. } => file.clone(),
            Self::Versions(package) => package.clone(),
            Self::Tarball { package, file } => format!("{package} {file}"),
            Self::Archive { path, .. } => path.clone(),
        }
    }
}

/// None: no registry has such a thing.
pub fn read(path: &str) -> Option<Asked> {
    let rest = path.strip_prefix(PREFIX)?;
    let segments: Option<Vec<String>> = rest.split('/').map(decoded).collect();
    let segments = segments.filter(|segments| segments.len() <= MAX_SEGMENTS)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["pypi", "simple", name] | ["pypi", "simple", name, ""] => {
            Some(Asked::Project(canonical(name)?))
        }
        ["pypi", "files", project, sha256, file] => {
            let project = canonical(project).filter(|name| name == project)?;
            (is_sha256(sha256) && is_release(file)).then(|| Asked::Release {
                project,
                sha256: (*sha256).to_owned(),
                file: (*file).to_owned(),
            })
        }
        ["npm", rest @ ..] => npm(rest),
        ["debian", rest @ ..] => archive(false, rest),
        ["debian-security", rest @ ..] => archive(true, rest),
        _ => None,
    }
}

fn npm(segments: &[&str]) -> Option<Asked> {
    let (package, rest) = match segments {
        [scope, name, rest @ ..] if scope.starts_with('@') && !scope.contains('/') => {
            (format!("{scope}/{name}"), rest)
        }
        [name, rest @ ..] => ((*name).to_owned(), rest),
        [] => return None,
    };
    if !is_npm_name(&package) {
        return None;
    }
    match rest {
        [] => Some(Asked::Versions(package)),
        ["-", file] if is_tarball(file) => {
            Some(Asked::Tarball { package, file: (*file).to_owned() })
        }
        _ => None,
    }
}

fn archive(security: bool, segments: &[&str]) -> Option<Asked> {
    let is_known = matches!(segments, ["dists" | "pool", _, ..]);
    let plain = |segment: &&str| is_plain(segment, b"+~_:=.-");
    (is_known && segments.iter().all(plain))
        .then(|| Asked::Archive { security, path: segments.join("/") })
}

/// PEP 503's one spelling of a project's name.
pub(super) fn canonical(name: &str) -> Option<String> {
    let ends = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let bytes = name.as_bytes();
    let is_name = bytes.len() <= MAX_NAME_BYTES
        && ends(bytes.first().copied())
        && ends(bytes.last().copied())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    if !is_name {
        return None;
    }
    let mut canonical = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'-' | b'_' | b'.' if canonical.ends_with('-') => {}
            b'-' | b'_' | b'.' => canonical.push('-'),
            other => canonical.push(other.to_ascii_lowercase().into()),
        }
    }
    Some(canonical)
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A wheel or a source distribution.
pub(super) fn is_release(file: &str) -> bool {
    let is_kind = [".whl", ".tar.gz", ".zip"].iter().any(|end| file.ends_with(end));
    is_kind && is_plain(file, b"._+!-")
}

pub(super) fn is_tarball(file: &str) -> bool {
    file.ends_with(".tgz") && is_plain(file, b"._+~-")
}

fn is_npm_name(package: &str) -> bool {
    let part = |part: &str| is_plain(part, b"-._~") && !part.starts_with('_');
    match package.strip_prefix('@') {
        _ if package.len() > MAX_NAME_BYTES => false,
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name))
        }
        // The registry's own affairs are beneath this one.
        None => package != "-" && part(package),
    }
}

/// A file name that no file system and no URL takes for more than that.
fn is_plain(segment: &str, also: &[u8]) -> bool {
    !segment.is_empty()
        && segment.len() <= MAX_FILE_BYTES
        && !segment.starts_with('.')
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

/// Clients escape what they need not. What is escaped twice keeps a percent sign and is refused by
/// the grammar; so is what is no text.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_clients_ask_for_is_read() {
        let project = |name: &str| Some(Asked::Project(name.to_owned()));
        assert_eq!(read("/packages/pypi/simple/flask/"), project("flask"));
        assert_eq!(read("/packages/pypi/simple/Foo._-Bar"), project("foo-bar"));
        let release = read(&format!("/packages/pypi/files/a/{HASH}/a-1%2Bcpu-py3-none-any.whl"));
        let Some(Asked::Release { file, .. }) = release else { panic!("{release:?}") };
        assert_eq!(file, "a-1+cpu-py3-none-any.whl");
        let versions = |name: &str| Some(Asked::Versions(name.to_owned()));
        assert_eq!(read("/packages/npm/left-pad"), versions("left-pad"));
        assert_eq!(read("/packages/npm/@types%2fnode"), versions("@types/node"));
        assert_eq!(read("/packages/npm/@types/node"), versions("@types/node"));
        let tarball = read("/packages/npm/@types/node/-/node-1.0.0.tgz");
        assert!(
            matches!(tarball, Some(Asked::Tarball { package, .. }) if package == "@types/node")
        );
        let path = "pool/main/h/hello/hello_2.10-3_amd64.deb".to_owned();
        let archive = read(&format!("/packages/debian/{path}"));
        assert_eq!(archive, Some(Asked::Archive { security: false, path }));
        let path = "/packages/debian-security/pool/g%2b%2b_1%7edeb12_amd64.deb";
        assert!(
            matches!(read(path), Some(Asked::Archive { security: true, path }) if path.ends_with("g++_1~deb12_amd64.deb"))
        );
    }

    #[test]
    fn what_names_more_than_a_package_is_nothing() {
        for path in [
            "/packages/",
            "/packages/pypi/simple/",
            "/packages/pypi/simple/../x/",
            "/packages/pypi/simple/%2e%2e/",
            "/packages/pypi/simple/a%2fb/",
            "/packages/pypi/simple/-a/",
            "/packages/pypi/simple/a%00/",
            "/packages/pypi/simple/%2561/",
            "/packages/pypi/json/a",
            "/packages/pypi/files/a/0/a.whl",
            "/packages/npm/",
            "/packages/npm/-/v1/login",
            "/packages/npm/-",
            "/packages/npm/-/user",
            "/packages/npm/@a%2fb%2fc",
            "/packages/npm/..%2fx",
            "/packages/npm/@../x",
            "/packages/npm/a/-/..%2fb.tgz",
            "/packages/npm/a/-rev/1",
            "/packages/debian/",
            "/packages/debian/pool",
            "/packages/debian/pool/../dists/x",
            "/packages/debian/pool//x",
            "/packages/debian/project/x",
            "/packages/debian/pool/a%2f..%2fb",
            "/packages/debian/pool/a?b",
            "/packages/cargo/a",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
        let other_case = HASH.to_uppercase();
        assert_eq!(read(&format!("/packages/pypi/files/a/{other_case}/a.whl")), None);
        assert_eq!(read(&format!("/packages/pypi/files/A/{HASH}/a.whl")), None);
        assert_eq!(read(&format!("/packages/pypi/files/a/{HASH}/a.exe")), None);
    }
}
