//! Bytes of a session's file as an answer: whole, a range of them, or a tar. Piece by piece: a
//! reader who is slow makes its own download wait, and nobody's memory grow.

use crate::{
    problem::{Answer, BrokenOff, full},
    ranges::{Asked, asked},
};
use contracts::{file::modified_at, link::files::FileStat};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Bytes, Frame},
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use jobs::Download;
use time::{format_description::BorrowedFormatItem, macros::format_description};

/// How many things a tar does not hold: links that lead out, pipes, names that are no text.
static LEFT_OUT: HeaderName = HeaderName::from_static("pinfold-left-out");

const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// What a caller who has a copy may ask about.
pub(crate) struct Validators {
    etag: String,
    modified: String,
}

impl Validators {
    fn of(stat: &FileStat) -> Self {
        // Weak: a program can change a file twice within one tick of the clock.
        let etag = format!("W/\"{:016x}\"", stat.version);
        let modified = modified_at(stat).format(HTTP_DATE).unwrap_or_default();
        Self { etag, modified }
    }

    fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in [(ETAG, &self.etag), (LAST_MODIFIED, &self.modified)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }

    fn matches(&self, headers: &HeaderMap) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = tags.flat_map(|value| value.split(','));
        tags.any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&self.etag))
    }
}

/// A file, or what is asked for of it.
pub(crate) fn file(stat: &FileStat, mut download: Download, headers: &HeaderMap) -> Answer {
    let validators = Validators::of(stat);
    if validators.matches(headers) {
        let mut answer = full(StatusCode::NOT_MODIFIED, "application/octet-stream", "");
        validators.put(answer.headers_mut());
        return answer;
    }
    let size = stat.size_bytes;
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    // A range that goes on with an older copy needs a strong validator, which we don't have.
    let range = range.filter(|_| !headers.contains_key(IF_RANGE));
    let (status, from, to) = match range.map_or(Asked::Whole, |range| asked(range, size)) {
        Asked::Whole => (StatusCode::OK, 0, size),
        Asked::Part { from, to } => (StatusCode::PARTIAL_CONTENT, from, to),
        Asked::Nothing => return unsatisfiable(size),
    };
    download.limit(from, to);
    // Never a type that a browser would run: the bytes are an untrusted program's.
    let mut answer = stream(status, "application/octet-stream", download);
    let headers = answer.headers_mut();
    validators.put(headers);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(to - from));
    if status == StatusCode::PARTIAL_CONTENT {
        put_range(headers, &format!("bytes {from}-{}/{size}", to - 1));
    }
    answer
}

/// The headers of a file without its bytes.
pub(crate) fn head(stat: &FileStat) -> Answer {
    let mut answer = full(StatusCode::OK, "application/octet-stream", "");
    Validators::of(stat).put(answer.headers_mut());
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(stat.size_bytes));
    answer
}

pub(crate) fn tar(left_out: u64, download: Download) -> Answer {
    let mut answer = stream(StatusCode::OK, "application/x-tar", download);
    answer.headers_mut().insert(LEFT_OUT.clone(), HeaderValue::from(left_out));
    answer
}

fn unsatisfiable(size: u64) -> Answer {
    use contracts::problem::{Problem, ProblemType};
    let problem = Problem::new(ProblemType::Validation, 416, "Range not satisfiable")
        .with_detail(format!("the file has {size} bytes"));
    let mut answer = crate::problem::problem(&problem);
    put_range(answer.headers_mut(), &format!("bytes */{size}"));
    answer
}

fn put_range(headers: &mut HeaderMap, range: &str) {
    if let Ok(range) = HeaderValue::from_str(range) {
        headers.insert(CONTENT_RANGE, range);
    }
}

fn stream(status: StatusCode, kind: &'static str, download: Download) -> Answer {
    let pieces = futures::stream::unfold(Some(download), |download| async move {
        let mut download = download?;
        match download.next().await {
            Ok(Some(piece)) => Some((Ok(Frame::data(Bytes::from(piece))), Some(download))),
            Ok(None) => None,
            Err(error) => {
                tracing::debug!(error = %jobs::chain(&error), "a download broke off");
                Some((Err(BrokenOff), None))
            }
        }
    });
    let mut answer = Response::new(BodyExt::boxed_unsync(StreamBody::new(pieces)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
