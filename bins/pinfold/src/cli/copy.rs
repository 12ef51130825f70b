//! The words of `pinfold cp`: which side is a session's, and what a name at the end of a path means.

use contracts::{SessionId, file::check_path, sandbox::path::WORKSPACE};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Copy {
    /// What to copy: SESSION:PATH, a path here, or - for standard input. SESSION:PATH/. and PATH/. are
    /// what is in a folder.
    #[arg(value_name = "SRC", value_parser = place)]
    pub(crate) from: Place,
    /// Where to: SESSION:PATH, a path here, or - for standard output. A folder that is there, or a
    /// path that ends in /, gets it under its own name.
    #[arg(value_name = "DST", value_parser = place)]
    pub(crate) to: Place,
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Stream,
    Here(Here),
    Session(SessionPath),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) path: PathBuf,
    pub(crate) end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionPath {
    pub(crate) session: SessionId,
    /// From the workspace, which itself is empty.
    pub(crate) path: String,
    pub(crate) end: End,
}

/// What a path's end says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Name,
    /// `…/`: a folder, to put something into.
    Slash,
    /// `…/.`: what is in a folder.
    Dot,
}

/// A path without what its end says.
fn split(text: &str) -> (&str, End) {
    if text == "." {
        return ("", End::Dot);
    }
    if let Some(path) = text.strip_suffix("/.") {
        return (path, End::Dot);
    }
    match text.strip_suffix('/') {
        Some(path) => (path, End::Slash),
        None => (text, End::Name),
    }
}

pub(crate) fn place(text: &str) -> Result<Place, String> {
    if text == "-" {
        return Ok(Place::Stream);
    }
    match text.split_once(':') {
        Some((session, path)) if !session.contains('/') => {
            let hint = "a path here that holds a colon begins with ./";
            let session =
                SessionId::new(session).map_err(|why| format!("SESSION {why}; {hint}"))?;
            session_path(session, path).map(Place::Session)
        }
        _ if text.is_empty() => Err("must not be empty".to_owned()),
        _ => {
            let (path, end) = split(text);
            let path = match path {
                "" if end == End::Slash => "/",
                "" => ".",
                path => path,
            };
            Ok(Place::Here(Here { path: path.into(), end }))
        }
    }
}

fn session_path(session: SessionId, text: &str) -> Result<SessionPath, String> {
    let (path, end) = split(text);
    // People type what they see inside.
    let path = match path.strip_prefix(WORKSPACE) {
        Some("") => "",
        Some(beneath) => beneath.strip_prefix('/').unwrap_or(path),
        None => path,
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.is_empty() {
        // The workspace is a folder, however it is written.
        let end = if end == End::Name { End::Slash } else { end };
        return Ok(SessionPath { session, path: String::new(), end });
    }
    check_path(path).map_err(|why| format!("the path in the session {why}"))?;
    Ok(SessionPath { session, path: path.to_owned(), end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(text: &str) -> (String, String, End) {
        match place(text) {
            Ok(Place::Session(at)) => (at.session.to_string(), at.path, at.end),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_colon_before_any_slash_names_a_session() {
        for (text, path, end) in [
            ("s1:a/b.txt", "a/b.txt", End::Name),
            ("s1:", "", End::Slash),
            ("s1:.", "", End::Dot),
            ("s1:./a", "a", End::Name),
            ("s1:a/", "a", End::Slash),
            ("s1:a/.", "a", End::Dot),
            ("s1:/workspace", "", End::Slash),
            ("s1:/workspace/a", "a", End::Name),
            ("s1:/workspace/.", "", End::Dot),
            ("s1:a:b", "a:b", End::Name),
        ] {
            assert_eq!(session(text), ("s1".to_owned(), path.to_owned(), end), "{text}");
        }
    }

    #[test]
    fn everything_else_is_here() {
        for (text, path, end) in [
            ("a/b", "a/b", End::Name),
            ("./a:b", "./a:b", End::Name),
            ("/tmp/s1:a", "/tmp/s1:a", End::Name),
            ("a/", "a", End::Slash),
            ("a/.", "a", End::Dot),
            (".", ".", End::Dot),
            ("..", "..", End::Name),
            ("/", "/", End::Slash),
        ] {
            assert_eq!(place(text), Ok(Place::Here(Here { path: path.into(), end })), "{text}");
        }
        assert_eq!(place("-"), Ok(Place::Stream));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["", ":a", "s 1:a", "s1:/etc/passwd", "s1:../a", "s1:a/../../b", "s1:a//b"] {
            assert!(place(text).is_err(), "{text:?}");
        }
    }
}
