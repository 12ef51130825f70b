//! A project's page of PyPI or of a mirror, in JSON (PEP 691) or HTML (PEP 503), and the page that a
//! sandbox reads in its place.

use super::asked::{is_release, is_sha256};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;

/// Newer indexes give JSON, which has nothing to be mistaken in.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    pub file: String,
    pub sha256: String,
    /// As the page has it: whole, or relative to the page.
    pub url: String,
    requires_python: Option<String>,
    yanked: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<PageFile>,
}

#[derive(Deserialize)]
struct PageFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Value,
    #[serde(default, rename = "requires-python")]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Value,
}

/// Files without a SHA-256 are left out: nobody could tell whether they are what the index means.
pub(super) fn read(content_type: &str, body: &[u8]) -> Option<Vec<Release>> {
    let releases = match content_type.contains("json") {
        true => from_json(body)?,
        false => from_html(std::str::from_utf8(body).ok()?),
    };
    let sound = |release: &Release| is_release(&release.file) && is_sha256(&release.sha256);
    Some(releases.into_iter().filter(sound).collect())
}

fn from_json(body: &[u8]) -> Option<Vec<Release>> {
    let page: Page = serde_json::from_slice(body).ok()?;
    let release = |file: PageFile| {
        let sha256 = file.hashes.get("sha256")?.as_str()?.to_owned();
        let yanked = match file.yanked {
            Value::Bool(true) => Some(String::new()),
            Value::String(reason) => Some(reason),
            _ => None,
        };
        let (file, url, requires_python) = (file.filename, file.url, file.requires_python);
        Some(Release { file, sha256, url, requires_python, yanked })
    };
    Some(page.files.into_iter().filter_map(release).collect())
}

/// Anchors with their attributes; all else is for people.
fn from_html(text: &str) -> Vec<Release> {
    text.split("<a").skip(1).filter_map(from_anchor).collect()
}

fn from_anchor(rest: &str) -> Option<Release> {
    let (mut href, mut requires_python, mut yanked) = (None, None, None);
    let mut rest = rest;
    loop {
        rest = rest.trim_ascii_start();
        if rest.starts_with('>') || rest.is_empty() {
            break;
        }
        let end = rest.find(['=', '>', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.trim_ascii_start().strip_prefix('=') {
            None => ("", after),
            Some(after) => quoted(after.trim_ascii_start())?,
        };
        match name.to_ascii_lowercase().as_str() {
            "href" => href = Some(unescaped(value)),
            "data-requires-python" => requires_python = Some(unescaped(value)),
            "data-yanked" => yanked = Some(unescaped(value)),
            _ => {}
        }
        // An attribute without a name and a value would not get us on.
        rest = if name.is_empty() && after.len() == rest.len() { after.get(1..)? } else { after };
    }
    let href = href?;
    let (url, fragment) = href.split_once('#')?;
    let sha256 = fragment.strip_prefix("sha256=")?.to_owned();
    let last = url.rsplit('/').next()?.replace("%2B", "+").replace("%2b", "+");
    let (url, file) = (url.to_owned(), last.replace("%21", "!"));
    Some(Release { file, sha256, url, requires_python, yanked })
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split_once(quote),
        _ => Some(text.split_at(text.find(['>', ' ', '\t', '\n', '\r']).unwrap_or(text.len()))),
    }
}

const ENTITIES: [(&str, &str); 7] = [
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#34;", "\""),
    ("&#39;", "'"),
    ("&#x27;", "'"),
    // Last, so that nothing is unescaped twice.
    ("&amp;", "&"),
];

fn unescaped(text: &str) -> String {
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

fn escaped(text: &str) -> String {
    let amp = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    amp.replace('"', "&quot;")
}

/// What pip and others read: every link leads back to the gate, and says what it must lead to.
pub(super) fn page(project: &str, releases: &[Release]) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.0\">\
         </head><body>\n",
    );
    for Release { file, sha256, requires_python, yanked, .. } in releases {
        let mut attributes = String::new();
        for (name, value) in [("data-requires-python", requires_python), ("data-yanked", yanked)] {
            if let Some(value) = value {
                // Writing to a string can't fail.
                let _written = write!(attributes, " {name}=\"{}\"", escaped(value));
            }
        }
        let _written = writeln!(
            page,
            "<a href=\"../../files/{project}/{sha256}/{file}#sha256={sha256}\"{attributes}>{file}</a><br>"
        );
    }
    page + "</body></html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn html(text: &str) -> Vec<Release> {
        read("text/html", text.as_bytes()).unwrap()
    }

    #[test]
    fn both_kinds_of_pages_say_the_same() {
        let of_json = format!(
            r#"{{"name":"a","files":[{{"filename":"a-1.whl","url":"https://f/a-1.whl",
            "hashes":{{"sha256":"{HASH}"}},"requires-python":">=3","yanked":"bad"}},
            {{"filename":"a-2.whl","url":"u","hashes":{{"md5":"0"}}}},
            {{"filename":"a.exe","url":"u","hashes":{{"sha256":"{HASH}"}}}}]}}"#
        );
        let of_json = read("application/vnd.pypi.simple.v1+json", of_json.as_bytes()).unwrap();
        let of_html = html(&format!(
            "<html><a\n href='https://f/a-1.whl#sha256={HASH}' data-requires-python=\"&gt;=3\" \
             data-yanked=\"bad\">a</a> <a href=\"https://f/a-2.whl\">b</a><a name=x>"
        ));
        assert_eq!(of_json, of_html);
        assert_eq!(of_html.len(), 1);
    }

    #[test]
    fn a_link_of_the_page_leads_to_the_gate_and_keeps_its_hash() {
        let releases = html(&format!("<a href=\"x/a-1%2Bcpu.whl#sha256={HASH}\" data-yanked>"));
        let page = page("a", &releases);
        let link =
            format!("<a href=\"../../files/a/{HASH}/a-1+cpu.whl#sha256={HASH}\" data-yanked");
        assert!(page.contains(&link), "{page}");
        assert!(!page.contains("x/a-1"), "{page}");
    }

    #[test]
    fn garbage_ends_and_is_no_release() {
        for text in [
            "<a",
            "<a =",
            "<a = =>",
            "<a href",
            "<a href=",
            "<a href='",
            "<a ==\"",
            "<a \u{e9}=\u{e9}",
        ] {
            assert!(html(text).is_empty(), "{text}");
        }
        assert!(read("application/json", b"[]").is_none());
        assert!(read("text/html", &[0xff]).is_none());
        let evil = html(&format!("<a href=\"/..%2f\"><a href=\"x/..#sha256={HASH}\">"));
        assert!(evil.is_empty());
        let quote =
            format!("<a href=\"x/a.whl#sha256={HASH}\" data-requires-python='\"><script>'>");
        assert!(!page("a", &html(&quote)).contains("<script>"));
    }
}
