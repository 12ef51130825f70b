//! Terminals in sessions over HTTP: made, listed, looked at through a socket, ended.

use super::code::or_default;
use crate::{
    problem::{Answer, ApiError, full, json},
    request::Query,
    server::Front,
    terminal_socket::{self, Handshake},
};
use contracts::{SessionId, TerminalId, terminal::TerminalRequest};
use hyper::{Request, StatusCode, body::Incoming};
use std::sync::Arc;

pub(super) async fn open(
    front: &Front,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let terminal: TerminalRequest = or_default(front, request).await?;
    Ok(json(StatusCode::CREATED, &front.node.open_terminal(&id, terminal).await?))
}

pub(super) async fn list(front: &Front, id: SessionId) -> Result<Answer, ApiError> {
    Ok(json(StatusCode::OK, &front.node.terminals(&id).await?))
}

pub(super) async fn end(
    front: &Front,
    id: SessionId,
    terminal: TerminalId,
) -> Result<Answer, ApiError> {
    front.node.end_terminal(&id, &terminal).await?;
    Ok(full(StatusCode::NO_CONTENT, "text/plain", ""))
}

/// Looks at a terminal, or tells of it to who does not ask for a socket.
pub(super) async fn attach(
    front: &Arc<Front>,
    id: SessionId,
    terminal: TerminalId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let from = Query::of(&request, &["from"])?.parsed("from")?;
    let Some(handshake) = Handshake::of(&request)? else {
        return Ok(json(StatusCode::OK, &front.node.terminal(&id, &terminal).await?));
    };
    let attachment = front.node.attach(&id, &terminal, from).await?;
    Ok(terminal_socket::serve(front, handshake, request, attachment, false))
}

/// A terminal that lives as long as its one socket.
pub(super) async fn once(
    front: &Arc<Front>,
    id: SessionId,
    request: Request<Incoming>,
) -> Result<Answer, ApiError> {
    let query = Query::of(&request, &["command", "rows", "cols"])?;
    let Some(handshake) = Handshake::of(&request)? else {
        return Err(ApiError::Malformed("this path has a WebSocket and nothing else".to_owned()));
    };
    let usual = TerminalRequest::default();
    let wanted = TerminalRequest {
        command: match query.get("command") {
            Some(script) => vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            None => Vec::new(),
        },
        rows: query.parsed("rows")?.unwrap_or(usual.rows),
        cols: query.parsed("cols")?.unwrap_or(usual.cols),
        ..usual
    };
    let opened = front.node.open_terminal(&id, wanted).await?;
    let attachment = front.node.attach(&id, &opened.terminal_id, Some(0)).await?;
    Ok(terminal_socket::serve(front, handshake, request, attachment, true))
}
