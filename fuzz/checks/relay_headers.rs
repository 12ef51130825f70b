//! A head as the relay judges and cleans it: `METHOD target`, then lines of `name:value`, all parted by line feeds.

use hyper::{
    HeaderMap, Request, StatusCode,
    header::{HeaderName, HeaderValue},
};
use relay::{Dialect, Location, StreamFormat, headers, request};

pub(crate) fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, target) = first.split_once(' ').unwrap_or(("GET", &first));
    let _no_panic = target.parse::<Location>().map(|location| location.is_tls());
    let mut map = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    judge(method, target, &map);
    clean(&map);
    speak(target, &map);
}

fn judge(method: &str, target: &str, map: &HeaderMap) {
    let Ok(built) = Request::builder().method(method).uri(target).body(()) else { return };
    let (mut head, ()) = built.into_parts();
    head.headers = map.clone();
    if request::check(&head, request::Forms::Own).is_ok() {
        assert!(head.uri.path().starts_with('/') && head.uri.authority().is_none());
        assert_eq!(map.get_all("host").iter().count(), 1);
        assert!(!["CONNECT", "TRACE"].contains(&method));
    }
}

fn clean(map: &HeaderMap) {
    let mut left = map.clone();
    headers::strip_hop_by_hop(&mut left);
    headers::strip_credentials(&mut left);
    let nominated = map
        .get_all("connection")
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    for name in nominated {
        assert!(
            HeaderName::from_bytes(name).is_ok_and(|name| !left.contains_key(name))
                || HeaderName::from_bytes(name).is_err()
        );
    }
    for name in ["connection", "transfer-encoding", "te", "upgrade", "authorization", "cookie"] {
        assert!(!left.contains_key(name), "{name}");
    }
    for list in [headers::REQUEST, headers::RESPONSE] {
        let mut passed = left.clone();
        list.apply(&mut passed);
        assert!(passed.keys().all(|name| list.allows(name)));
        assert!(!passed.contains_key("set-cookie") && !passed.contains_key("host"));
    }
}

/// An error is one frame of its stream, whatever its words are.
fn speak(words: &str, map: &HeaderMap) {
    let Some(format) = StreamFormat::of(map) else { return };
    let frame = Dialect::of(words).error_frame(format, StatusCode::BAD_GATEWAY, "code", words);
    let text = std::str::from_utf8(&frame).expect("a frame is text");
    let (body, ends) = match format {
        StreamFormat::Events => (text.trim_end_matches('\n'), text.ends_with("\n\n")),
        StreamFormat::Lines => (text.trim_end_matches('\n'), text.ends_with('\n')),
    };
    assert!(ends && !body.contains("\n\n") && !body.contains('\r'), "{text:?}");
}
