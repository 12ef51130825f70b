//! Sessions: opening, listing and ending them, and code in them.

mod cell;
mod editor;
mod pictures;
mod repl;
mod screen;
mod shell;
mod whole;

use super::jobs::encoded;
use crate::{
    cli::{ExecCode, SessionCommand, SessionOptions, StartSession},
    client::Client,
    out,
};
use anyhow::Context;
use cell::Cells;
use contracts::code::{OpenRequest, OpenResponse, OpenSessions};
use std::{io::Read, process::ExitCode};

pub(crate) async fn run(client: &Client, options: SessionOptions) -> anyhow::Result<ExitCode> {
    match options.command {
        None => repl::run(client, options.repl).await,
        Some(SessionCommand::Start(options)) => {
            out::line(open(client, options).await?)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(SessionCommand::List { json }) => list(client, json).await,
        Some(SessionCommand::Exec(options)) => exec(client, options).await,
        Some(SessionCommand::Shell(options)) => shell::run(client, options).await,
        Some(SessionCommand::End { id }) => {
            client.delete(&path_of(&id)).await?;
            out::line("ended")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn path_of(id: &str) -> String {
    format!("/sessions/{}", encoded(id))
}

async fn open(client: &Client, options: StartSession) -> anyhow::Result<String> {
    let request = OpenRequest {
        lang: options.lang,
        template: options.template,
        env: options.env.into_iter().collect(),
        idle_seconds: options.idle,
        ..OpenRequest::default()
    };
    let opened: OpenResponse = client.post("/sessions", &request).await?;
    Ok(opened.session_id.to_string())
}

async fn list(client: &Client, json: bool) -> anyhow::Result<ExitCode> {
    let open: OpenSessions = client.get("/sessions").await?;
    super::printed(json, &open, || {
        let head = format!("{:<34} {:<12} {:<24}", "SESSION", "LANGUAGE", "ENDS");
        let lines = open.sessions.iter().map(|session| {
            let lang = session.lang.map_or("-", |lang| lang.name());
            let ends = session.expires_at.replace_nanosecond(0).unwrap_or(session.expires_at);
            format!("{:<34} {lang:<12} {:<24}", session.session_id, ends.to_string())
        });
        std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
    })
}

async fn exec(client: &Client, options: ExecCode) -> anyhow::Result<ExitCode> {
    let code = match options.code.filter(|code| code != "-") {
        Some(code) => code,
        None => {
            let mut code = String::new();
            std::io::stdin().read_to_string(&mut code).context("standard input")?;
            code
        }
    };
    let mut cells = Cells::new(client, &options.id, &options.look);
    let code = cells.run(&code, &mut None).await?;
    Ok(ExitCode::from(code))
}
