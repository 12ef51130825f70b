//! A prompt before a session: code in, what comes of it out.

use super::{
    cell::Cells,
    editor::{Answer, Editor},
    open, path_of,
};
use crate::{
    cli::{Repl, StartSession},
    client::{Client, Refused},
    out,
};
use anyhow::Context;
use contracts::code::{Language, OpenSessions};
use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};

/// A line that begins so stands between two pieces of code, where they come from a pipe.
const MARKS: [&str; 2] = ["# %%", "// %%"];

pub(super) async fn run(client: &Client, options: Repl) -> anyhow::Result<ExitCode> {
    let typed = std::io::stdin().is_terminal();
    // Whoever has second thoughts while it is being read leaves no session behind.
    let given = if typed { None } else { Some(text()?) };
    let (id, lang, ours) = match &options.id {
        Some(id) => (id.clone(), language_of(client, id).await?, false),
        None => {
            let (lang, template) = (options.lang, options.template.clone());
            let of_template = template.is_some();
            let start = StartSession { lang, template, env: Vec::new(), idle: None };
            let id = open(client, start).await?;
            let lang = match of_template {
                true => language_of(client, &id).await?,
                false => lang.unwrap_or_default(),
            };
            (id, lang, true)
        }
    };
    let mut cells = Cells::new(client, &id, &options.look);
    let left = if let Some(text) = given {
        run_all(&mut cells, &text).await
    } else {
        let editor = Editor::open(lang, options.look.state_folder().as_deref())?;
        out::note(format_args!(
            "{} in session {id}; Ctrl-C interrupts, Ctrl-D leaves",
            lang.name()
        ));
        converse(&mut cells, lang, editor).await
    };
    let ends = ours && !options.keep;
    if ends {
        // Whatever went wrong before is worth more to tell.
        let ended = client.delete(&path_of(&id)).await;
        if left.is_ok() {
            ended.context("the session could not be ended")?;
        }
    }
    match (typed || options.keep, ends) {
        (true, true) => out::note(format_args!("the session has ended")),
        (true, false) => {
            out::note(format_args!(
                "the session stays: pinfold session {id}, or pinfold session end {id}"
            ));
        }
        _ => {}
    }
    left
}

async fn language_of(client: &Client, id: &str) -> anyhow::Result<Language> {
    let open: OpenSessions = client.get("/sessions").await?;
    let session = open.sessions.into_iter().find(|session| session.session_id.as_str() == id);
    Ok(session.with_context(|| format!("no session {id} is open"))?.lang.unwrap_or_default())
}

async fn converse(
    cells: &mut Cells<'_>,
    lang: Language,
    editor: Editor,
) -> anyhow::Result<ExitCode> {
    let prompt = match lang {
        Language::Python => ">>> ",
        Language::Bash => "$ ",
        _ => "> ",
    };
    let mut editor = editor;
    loop {
        let (mut back, code) = {
            let (back, answer) = editor.code(prompt.to_owned()).await?;
            match answer {
                Answer::Line(code) => (Some(back), code),
                Answer::Interrupt => (Some(back), String::new()),
                Answer::End => return Ok(ExitCode::SUCCESS),
            }
        };
        if !code.trim().is_empty() {
            match cells.run(&code, &mut back).await {
                Ok(_) => {}
                // A refusal of this code, unless the session is gone.
                Err(error) => match error.downcast_ref::<Refused>() {
                    Some(refused) if ![404, 410].contains(&refused.0.status) => {
                        out::note(format_args!("pinfold: {error}"));
                    }
                    _ => return Err(error),
                },
            }
        }
        editor = back.context("the terminal was lost")?;
    }
}

/// Code that nobody types: the first piece that fails is the last, and its exit code is ours.
async fn run_all(cells: &mut Cells<'_>, text: &str) -> anyhow::Result<ExitCode> {
    for code in pieces(text) {
        let code = cells.run(&code, &mut None).await?;
        if code != 0 {
            return Ok(ExitCode::from(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in text.split_inclusive('\n') {
        match pieces.last_mut() {
            Some(piece) if !MARKS.iter().any(|mark| line.starts_with(mark)) => piece.push_str(line),
            _ => pieces.push(String::new()),
        }
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_divide_code_from_a_pipe() {
        assert_eq!(pieces("a\nb\n"), ["a\nb\n"]);
        assert_eq!(pieces("# %% one\na\n\n# %%\n\n# %%\nb"), ["a\n\n", "b"]);
        assert!(pieces(" \n").is_empty());
    }
}
