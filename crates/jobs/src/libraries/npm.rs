//! What npm made of a set of packages: which tarball is in which folder, read from the record that it
//! leaves in the sandbox.
//!
//! The record is a file of a sandbox, so it is believed only as far as the gate's own list goes: every
//! tarball that was given is in it, and no other. That none of them ran a script, which could have
//! written another record, is seen by whoever unpacks them: the checked tarballs themselves say it.

use executor::Sandbox;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Beneath the workspace.
const RECORD: &str = "node_modules/.package-lock.json";
/// Of the largest trees that are worth it.
const MAX_RECORD_BYTES: u64 = 1 << 20;
const MAX_FOLDERS: usize = 512;
const MAX_FOLDER_BYTES: usize = 512;

#[derive(Deserialize)]
struct Record {
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    /// Where it is not that of the folder.
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    has_install_script: bool,
}

/// Folders and the tarballs for them, in turns. None: npm has to do it again.
pub(super) async fn tree(sandbox: &Sandbox, given: &[String]) -> Option<Vec<String>> {
    let mut reader = sandbox.read_file(RECORD).await.ok()?;
    if reader.stat.size_bytes > MAX_RECORD_BYTES {
        return None;
    }
    let mut record = Vec::new();
    while let Some(piece) = reader.next().await.ok()? {
        record.extend(piece);
    }
    read(&record, given)
}

fn read(record: &[u8], given: &[String]) -> Option<Vec<String>> {
    let Record { packages } = serde_json::from_slice(record).ok()?;
    if packages.is_empty() || packages.len() > MAX_FOLDERS {
        return None;
    }
    let given: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    let mut used = BTreeSet::new();
    let mut tree = Vec::new();
    for (folder, package) in &packages {
        let name = package.name.as_deref().or_else(|| name_of(folder))?;
        let (file, version) = (name.rsplit('/').next()?, package.version.as_deref()?);
        let tarball = format!("/packages/npm/{name}/-/{file}-{version}.tgz");
        let tarball = *given.get(tarball.as_str())?;
        if package.has_install_script || !is_folder(folder) {
            return None;
        }
        used.insert(tarball);
        tree.extend([folder.clone(), tarball.to_owned()]);
    }
    (used == given).then_some(tree)
}

/// The package that is in a folder, if nothing else is said.
fn name_of(folder: &str) -> Option<&str> {
    folder.rsplit_once("node_modules/").map(|(_, name)| name)
}

/// `node_modules/a`, `node_modules/@b/c/node_modules/a`, and nothing that leads elsewhere.
fn is_folder(folder: &str) -> bool {
    let is_name = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        !name.is_empty()
            && !name.starts_with('.')
            && name.bytes().all(plain)
            && name != "node_modules"
    };
    let mut parts = folder.split('/');
    if folder.len() > MAX_FOLDER_BYTES {
        return false;
    }
    while let Some(part) = parts.next() {
        let named = match parts.next() {
            Some(scope) if scope.starts_with('@') => {
                is_name(&scope[1..]) && parts.next().is_some_and(is_name)
            }
            Some(name) => is_name(name),
            None => false,
        };
        if part != "node_modules" || !named {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(packages: &str, given: &[&str]) -> Option<Vec<String>> {
        let given: Vec<String> = given.iter().map(|path| (*path).to_owned()).collect();
        read(format!(r#"{{"lockfileVersion":3,"packages":{{{packages}}}}}"#).as_bytes(), &given)
    }

    const A: &str = "/packages/npm/a/-/a-1.0.0.tgz";
    const B: &str = "/packages/npm/@s/b/-/b-2.0.0.tgz";

    #[test]
    fn every_tarball_has_its_folders_and_every_folder_its_tarball() {
        let both =
            r#""node_modules/a":{"version":"1.0.0"},"node_modules/@s/b":{"version":"2.0.0"}"#;
        let tree = read_of(both, &[A, B, A]).unwrap();
        assert_eq!(tree, ["node_modules/@s/b", B, "node_modules/a", A]);
        let nested = r#""node_modules/x/node_modules/a":{"version":"1.0.0"},"node_modules/y":{"name":"a","version":"1.0.0"}"#;
        assert_eq!(read_of(nested, &[A]).unwrap().len(), 4, "one tarball in two folders");
        assert_eq!(read_of(both, &[A]), None, "of one nobody was given the tarball");
        let one = r#""node_modules/a":{"version":"1.0.0"}"#;
        assert_eq!(read_of(one, &[A, B]), None, "and of one there is no folder");
    }

    #[test]
    fn a_record_that_says_more_than_names_is_not_believed() {
        for packages in [
            "",
            r#""":{"version":"1.0.0"}"#,
            r#""node_modules/a":{"version":"1.0.0","hasInstallScript":true}"#,
            r#""node_modules/a":{}"#,
            r#""a":{"version":"1.0.0","name":"a"}"#,
            r#""node_modules/../a":{"version":"1.0.0","name":"a"}"#,
            r#""node_modules/.bin":{"version":"1.0.0","name":"a"}"#,
            r#""node_modules/a/lib":{"version":"1.0.0","name":"a"}"#,
            r#""node_modules/@a":{"version":"1.0.0","name":"a"}"#,
            r#""node_modules/a/":{"version":"1.0.0","name":"a"}"#,
            r#""/node_modules/a":{"version":"1.0.0","name":"a"}"#,
        ] {
            assert_eq!(read_of(packages, &[A]), None, "{packages}");
        }
        assert_eq!(read(b"[]", &[]), None);
    }
}
