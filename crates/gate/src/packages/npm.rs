//! A package's versions as npm's registry tells them, and what a sandbox reads in their place.

use super::asked::is_tarball;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value};

/// The short form has all that an install needs.
pub(super) const ACCEPT: &str = "application/vnd.npm.install-v1+json, application/json;q=0.8";

/// Tarballs have whole addresses, and in every sandbox the gate is at this one.
const OURS: &str = "http://127.0.0.1:11434/packages/npm";

/// Where a tarball is, and what it must be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tarball {
    pub(super) url: String,
    pub(super) sha512: Vec<u8>,
}

/// Versions without a hash that counts today are left out.
pub fn rewritten(package: &str, body: &[u8]) -> Option<Bytes> {
    let mut document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let versions = document.get_mut("versions")?.as_object_mut()?;
    versions.retain(|_, version| {
        let Some((file, _)) = tarball_of(version) else { return false };
        let ours = format!("{OURS}/{package}/-/{file}");
        version["dist"]["tarball"] = Value::String(ours);
        true
    });
    serde_json::to_vec(&document).ok().map(Bytes::from)
}

pub(super) fn tarball(body: &[u8], file: &str) -> Option<Tarball> {
    let document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let mut versions = document.get("versions")?.as_object()?.values();
    versions.find_map(|version| tarball_of(version).filter(|found| found.0 == file)).map(|it| it.1)
}

fn tarball_of(version: &Value) -> Option<(String, Tarball)> {
    let dist = version.get("dist")?;
    let url = dist.get("tarball")?.as_str()?;
    let file = url.rsplit('/').next().filter(|file| is_tarball(file))?;
    let integrity = dist.get("integrity")?.as_str()?;
    let hash = integrity.split_ascii_whitespace().find_map(|hash| hash.strip_prefix("sha512-"))?;
    let sha512 = BASE64_STANDARD.decode(hash).ok().filter(|hash| hash.len() == 64)?;
    Some((file.to_owned(), Tarball { url: url.to_owned(), sha512 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tarballs_lead_to_the_gate_and_are_found_again() {
        let hash = BASE64_STANDARD.encode([7; 64]);
        let body = format!(
            r#"{{"name":"@a/b","dist-tags":{{"latest":"1.0.0"}},"versions":{{
            "1.0.0":{{"dist":{{"tarball":"https://r/@a/b/-/b-1.0.0.tgz","integrity":"sha512-{hash}"}}}},
            "0.1.0":{{"dist":{{"tarball":"https://r/@a/b/-/b-0.1.0.tgz","shasum":"00"}}}},
            "0.2.0":{{"dist":{{"tarball":"https://r/x?y","integrity":"sha512-{hash}"}}}},
            "0.3.0":{{"dist":[]}}}}}}"#
        );
        let ours: Value =
            serde_json::from_slice(&rewritten("@a/b", body.as_bytes()).unwrap()).unwrap();
        let versions = ours["versions"].as_object().unwrap();
        assert_eq!(versions.keys().collect::<Vec<_>>(), ["1.0.0"]);
        let url = "http://127.0.0.1:11434/packages/npm/@a/b/-/b-1.0.0.tgz";
        assert_eq!(versions["1.0.0"]["dist"]["tarball"], url);
        assert_eq!(ours["dist-tags"]["latest"], "1.0.0");
        let found = tarball(body.as_bytes(), "b-1.0.0.tgz").unwrap();
        assert_eq!(found.url, "https://r/@a/b/-/b-1.0.0.tgz");
        assert_eq!(found.sha512, [7; 64]);
        assert_eq!(tarball(body.as_bytes(), "b-0.1.0.tgz"), None);
    }

    #[test]
    fn what_is_no_list_of_versions_is_refused() {
        for body in ["", "[]", "{}", r#"{"versions":[]}"#] {
            assert!(rewritten("a", body.as_bytes()).is_none(), "{body}");
        }
    }
}
