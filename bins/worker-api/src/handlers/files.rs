//! A session's files over HTTP. What is asked for beyond a file's bytes is a word in the query.

use crate::{
    downloads, file_events,
    problem::{Answer, ApiError, full, json, problem},
    request::{self, BODY_WAIT, Query},
    server::Front,
};
use contracts::{
    SessionId,
    file::{FileView, check_path},
    link::files::{FileFault, FileKind, MODE_BITS},
    problem::{Problem, ProblemType},
};
use http_body_util::BodyExt;
use hyper::{
    Request, StatusCode,
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue, IF_NONE_MATCH},
};
use jobs::{JobError, SessionFiles, Upload, Uploaded};
use std::time::Duration;

pub(super) async fn read(
    front: &Front,
    id: SessionId,
    path: String,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let known = ["stat", "list", "tar", "watch", "after", "limit"];
    let query = Query::of(&request, &known)?;
    let asked = one_of(&query, &["stat", "list", "tar", "watch"])?;
    if matches!(asked, Some("stat" | "tar" | "watch")) {
        without(&query, &["after", "limit"])?;
    }
    let files = front.node.session_files(&id, path.clone()).await?;
    match asked {
        Some("stat") => Ok(json(StatusCode::OK, &FileView::new(path, &files.stat().await?))),
        Some("list") => list(&files, &query).await,
        Some("tar") => {
            let (left_out, download) = files.pack().await?;
            Ok(downloads::tar(left_out, download))
        }
        Some("watch") => {
            let deep = match query.get("watch") {
                None => false,
                Some("recursive") => true,
                Some(_) => return Err(malformed("watch: must be empty or recursive")),
            };
            let missed = request.headers().get("last-event-id").is_some();
            let after = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
            let after = after.and_then(|id| id.parse().ok()).unwrap_or(0);
            let heartbeat = Duration::from_secs(front.config.listen.heartbeat_seconds.max(1));
            let watching = files.watch(deep).await?;
            Ok(file_events::stream(watching, after, missed, heartbeat))
        }
        _ => {
            let files = match files.read().await {
                Ok((stat, download)) => {
                    without(&query, &["after", "limit"])?;
                    return Ok(downloads::file(&stat, download, request.headers()));
                }
                Err((error, files)) if is(&error, &FileFault::IsFolder) => files,
                Err((error, _)) => return Err(error.into()),
            };
            list(&files, &query).await
        }
    }
}

async fn list(files: &SessionFiles, query: &Query) -> Result<Answer, ApiError> {
    let after = query.get("after").map(str::to_owned);
    Ok(json(StatusCode::OK, &files.list(after, query.parsed("limit")?).await?))
}

pub(super) async fn head(
    front: &Front,
    id: SessionId,
    path: String,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    Query::of(request, &[])?;
    let stat = front.node.session_files(&id, path).await?.stat().await?;
    Ok(match stat.kind {
        FileKind::File => downloads::head(&stat),
        _ => full(StatusCode::OK, "application/json", ""),
    })
}

pub(super) async fn write(
    front: &Front,
    id: SessionId,
    path: String,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let query = Query::of(&request, &["tar", "folder", "mode"])?;
    let asked = one_of(&query, &["tar", "folder"])?;
    if asked.is_some() {
        without(&query, &["mode"])?;
    }
    let mode = query.get("mode").map(mode).transpose()?;
    let only_new = match request.headers().get(IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => false,
        Some(b"*") => true,
        Some(_) => return Err(malformed("If-None-Match: only * can be kept to here")),
    };
    let files = front.node.session_files(&id, path).await?;
    if asked == Some("folder") {
        let made = files.make_folder().await?;
        return Ok(empty(if made { StatusCode::CREATED } else { StatusCode::NO_CONTENT }));
    }
    let mut body = request.into_body();
    let announced = body.size_hint().lower();
    let began = match asked {
        Some(_) => files.unpack(announced).await,
        None => files.write(announced, mode, only_new).await,
    };
    let done = match began {
        Ok(upload) => take(upload, &mut body).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(Uploaded::Created) => Ok(empty(StatusCode::CREATED)),
        Ok(Uploaded::Replaced) => Ok(empty(StatusCode::NO_CONTENT)),
        Ok(Uploaded::Unpacked(unpacked)) => Ok(json(StatusCode::OK, &unpacked)),
        Err(error) => {
            let whole = body.is_end_stream();
            if !whole {
                request::discard(&mut body, front.config.listen.max_upload_bytes).await;
            }
            let mut answer = refused(error, only_new);
            if !whole {
                // What was not read must not be taken for the next request.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    }
}

/// Hands a body on as it comes: the sender waits while the sandbox is behind, and nothing is kept.
async fn take(mut upload: Upload, body: &mut Incoming) -> Result<Uploaded, ApiError> {
    loop {
        let frame = tokio::time::timeout(BODY_WAIT, body.frame()).await;
        match frame.map_err(|_| ApiError::BodyTooSlow)? {
            None => return Ok(upload.finish().await?),
            Some(Err(_)) => return Err(ApiError::BodyBroken),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    upload.write(data).await?;
                }
            }
        }
    }
}

pub(super) async fn move_to(
    front: &Front,
    id: SessionId,
    path: String,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let query = Query::of(request, &["move_to", "replace"])?;
    let to = query.get("move_to").ok_or_else(|| malformed("move_to: must say where to"))?;
    let to = to.strip_suffix('/').unwrap_or(to);
    check_path(to).map_err(|why| ApiError::Malformed(format!("move_to {why}")))?;
    let replace = query.parsed("replace")?.unwrap_or(false);
    let files = front.node.session_files(&id, path).await?;
    let created = files.move_to(to, replace).await?;
    Ok(empty(if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
}

pub(super) async fn delete(
    front: &Front,
    id: SessionId,
    path: String,
    request: &Request<Incoming>,
) -> Result<Answer, ApiError> {
    let deep = Query::of(request, &["recursive"])?.parsed("recursive")?.unwrap_or(false);
    front.node.session_files(&id, path).await?.delete(deep).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Which one of these words the query has.
fn one_of<'a>(query: &Query, words: &[&'a str]) -> Result<Option<&'a str>, ApiError> {
    let mut given = words.iter().filter(|word| query.has(word));
    match (given.next(), given.next()) {
        (Some(one), Some(other)) => {
            Err(ApiError::Malformed(format!("{one} and {other} don't go together")))
        }
        (one, _) => Ok(one.copied()),
    }
}

fn without(query: &Query, names: &[&str]) -> Result<(), ApiError> {
    match names.iter().find(|name| query.has(name)) {
        Some(name) => Err(ApiError::Malformed(format!("{name} has no meaning here"))),
        None => Ok(()),
    }
}

/// Permissions in octal, without the bits that change whose rights a program has.
fn mode(text: &str) -> Result<u32, ApiError> {
    let digits = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= MODE_BITS);
    mode.ok_or_else(|| malformed("mode: must be octal, from 0 to 777"))
}

fn is(error: &JobError, fault: &FileFault) -> bool {
    matches!(error, JobError::File(refusal) if refusal.fault == *fault)
}

fn refused(error: ApiError, only_new: bool) -> Answer {
    match &error {
        ApiError::Job(fault) if only_new && is(fault, &FileFault::Exists) => {
            let failed = Problem::new(ProblemType::Validation, 412, "Precondition failed");
            problem(&failed.with_detail(fault.to_string()))
        }
        _ => error.answer(),
    }
}

fn malformed(why: &str) -> ApiError {
    ApiError::Malformed(why.to_owned())
}

fn empty(status: StatusCode) -> Answer {
    full(status, "text/plain", "")
}
