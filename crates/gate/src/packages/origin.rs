//! A registry outside, and how it is asked: always by the node itself, in its own words, so that
//! nothing of a sandbox but the name of a package reaches it.

use super::store::{Key, Meta};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT,
    },
};
use http_body_util::BodyExt;
use relay::{Dialect, Location, RelayError, Relayed, RequestBody, Timeouts, Trust, Upstream};
use std::{
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("pinfold/", env!("CARGO_PKG_VERSION")));

/// After a registry could not be reached, what is kept is given without asking it for so long.
const REST: Duration = Duration::from_secs(20);

/// Longest value that is remembered of an answer.
const MAX_VALUE_BYTES: usize = 1024;

/// Where a registry is, as the operator says it: `https://host/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Scheme and host, without a slash.
    root: String,
    /// Empty, or a path without a slash at its end.
    path: String,
    location: Location,
}

impl FromStr for BaseUrl {
    type Err = relay::UrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = url.split_once("://").ok_or(relay::UrlError::Syntax)?;
        if !["http", "https"].contains(&scheme) {
            return Err(relay::UrlError::Scheme);
        }
        let _checked: Location = url.parse()?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let root = format!("{scheme}://{}", host.to_ascii_lowercase());
        let path = path.trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let location = root.parse()?;
        Ok(Self { root, path, location })
    }
}

impl BaseUrl {
    pub(super) fn path_of(&self, link: &str, page: Option<&str>) -> Option<String> {
        let path = match link.split_once("://") {
            Some(_) => link.strip_prefix(&self.root)?.to_owned(),
            None if link.starts_with("//") => return None,
            None if link.starts_with('/') => link.to_owned(),
            None => joined(page?, link)?,
        };
        let path = path.split('#').next()?;
        let way = path.split('?').next().unwrap_or_default();
        let is_straight = !way.split('/').any(|part| [".", ".."].contains(&part));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%+!@:=&?,()".contains(&byte);
        (path.starts_with('/') && is_straight && path.bytes().all(plain)).then(|| path.to_owned())
    }
}

pub(super) struct Origin {
    url: BaseUrl,
    upstream: Upstream,
    rests_until: Mutex<Option<Instant>>,
}

impl Origin {
    pub(super) fn new(url: BaseUrl, trust: Option<Trust>, timeouts: Timeouts) -> Self {
        let upstream = Upstream::new(url.location.clone(), trust, timeouts);
        Self { url, upstream, rests_until: Mutex::default() }
    }

    /// For what it said to this question: another registry may say something else.
    pub(super) fn key(&self, question: &str) -> Key {
        Key::of(&[&self.url.root, &self.url.path, question])
    }

    /// A path beneath its own.
    pub(super) fn beneath(&self, path: &str) -> String {
        format!("{}/{path}", self.url.path)
    }

    /// The path of a link on its page `page`, if the link leads to this very origin.
    pub(super) fn path_of(&self, link: &str, page: Option<&str>) -> Option<String> {
        self.url.path_of(link, page)
    }

    /// Whether it was found to be away a moment ago.
    pub(super) fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) async fn get(
        &self,
        path: &str,
        accept: &'static str,
        known: Option<&Meta>,
    ) -> Result<Response<Relayed>, RelayError> {
        let mut request = Request::new(RequestBody::whole(Bytes::new()));
        *request.uri_mut() = path.parse().map_err(|_| relay::request::Refusal::Target)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(USER_AGENT, OUR_NAME);
        let validators =
            known.map(|meta| [(IF_NONE_MATCH, &meta.etag), (IF_MODIFIED_SINCE, &meta.modified)]);
        for (name, value) in validators.into_iter().flatten() {
            let value = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok());
            headers.extend(value.map(|value| (name, value)));
        }
        let answer = self.upstream.send(request, Dialect::OpenAi).await;
        let is_away = match &answer {
            Ok(answer) => answer.status().is_server_error(),
            Err(error) => {
                matches!(error.status(), StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
            }
        };
        let rests = is_away.then(|| Instant::now() + REST);
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = rests;
        answer
    }
}

/// A relative link, seen from a page.
fn joined(page: &str, link: &str) -> Option<String> {
    let mut segments: Vec<&str> = page.split('/').collect();
    segments.pop();
    for part in link.split('/') {
        match part {
            "." => {}
            // Above the root there is nothing.
            ".." if segments.len() > 1 => drop(segments.pop()),
            ".." => return None,
            part => segments.push(part),
        }
    }
    Some(segments.join("/"))
}

/// What an answer says of itself.
pub(super) fn meta(headers: &HeaderMap) -> Meta {
    let value = |name| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        value.filter(|value| value.len() <= MAX_VALUE_BYTES).map(str::to_owned)
    };
    let content_type = value(CONTENT_TYPE).unwrap_or_else(|| "application/octet-stream".to_owned());
    Meta { content_type, etag: value(ETAG), modified: value(LAST_MODIFIED), ..Meta::default() }
}

/// What is encoded is not what the registry's hash is of.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity")
}

/// How long an answer holds, by its own word.
pub(super) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    let mut parts = value.split(',').map(str::trim);
    if parts.clone().any(|part| ["no-cache", "no-store"].contains(&part)) {
        return Some(Duration::ZERO);
    }
    let seconds = parts.find_map(|part| part.strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// None: it is longer than it may be.
pub(super) async fn whole(mut body: Relayed, limit: usize) -> Result<Option<Bytes>, RelayError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(whole.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::new(url.parse().unwrap(), None, Timeouts::default())
    }

    #[test]
    fn a_link_leads_to_its_own_registry_or_nowhere() {
        let mirror = origin("https://Mirror.example:8443/pypi/simple/");
        assert_eq!(mirror.beneath("flask/"), "/pypi/simple/flask/");
        let page = Some("/pypi/simple/flask/");
        for (link, path) in [
            ("https://mirror.example:8443/a/b.whl#sha256=0", Some("/a/b.whl")),
            ("../../packages/b.whl", Some("/pypi/packages/b.whl")),
            ("./b.whl", Some("/pypi/simple/flask/b.whl")),
            ("/b.whl", Some("/b.whl")),
            ("../../../../b.whl", None),
            ("//evil.example/b.whl", None),
            ("https://evil.example/b.whl", None),
            ("https://mirror.example:8443.evil.example/b.whl", None),
            ("https://mirror.example:8443@evil.example/b.whl", None),
            ("http://mirror.example:8443/b.whl", None),
            ("/a/../b.whl", None),
            ("/a b.whl", None),
            ("/a\r\nb.whl", None),
        ] {
            assert_eq!(mirror.path_of(link, page).as_deref(), path, "{link}");
        }
        assert_eq!(mirror.path_of("b.whl", None), None);
    }

    #[test]
    fn an_answer_says_how_long_it_holds() {
        let age = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            max_age(&[(CACHE_CONTROL, value)].into_iter().collect())
        };
        assert_eq!(age("public, max-age=600"), Some(Duration::from_secs(600)));
        assert_eq!(age("max-age=600, no-cache"), Some(Duration::ZERO));
        assert_eq!(age("public"), None);
        assert_eq!(age("max-age=x"), None);
    }
}
