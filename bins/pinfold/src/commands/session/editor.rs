//! The line that a person types: with its history, over several lines where the code goes on, and
//! unseen where it is a secret. It blocks, so it is on a thread of its own while it waits.

use super::whole::is_whole;
use anyhow::Context;
use contracts::code::Language;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use rustyline::{
    Completer, Config, Helper, Highlighter, Hinter,
    error::ReadlineError,
    history::FileHistory,
    validate::{ValidationContext, ValidationResult, Validator},
};
use std::{
    io::{Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Lines of code that are remembered.
const MAX_HISTORY: usize = 2000;

/// What was typed.
pub(super) enum Answer {
    Line(String),
    /// Ctrl-D on an empty line.
    End,
    /// Ctrl-C.
    Interrupt,
}

pub(super) struct Editor {
    /// One for code and answers, since keys that were typed ahead wait in it.
    lines: rustyline::Editor<Whole, FileHistory>,
    lang: Language,
    history: Option<PathBuf>,
}

/// What has to be whole before it is taken: code of a language, or (None) a line.
#[derive(Completer, Helper, Highlighter, Hinter)]
struct Whole(Option<Language>);

impl Validator for Whole {
    fn validate(&self, typed: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match self.0.is_none_or(|lang| is_whole(lang, typed.input())) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Editor {
    pub(super) fn open(lang: Language, state: Option<&Path>) -> anyhow::Result<Self> {
        let config = Config::builder().max_history_size(MAX_HISTORY)?.auto_add_history(false);
        let mut lines = rustyline::Editor::with_config(config.build())?;
        let history = state.map(|folder| folder.join(format!("history.{}", lang.name())));
        if let (Some(path), Some(folder)) = (&history, state) {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .with_context(|| format!("can't make {}", folder.display()))?;
            // The first time there is none.
            let _none = lines.load_history(path);
        }
        Ok(Self { lines, lang, history })
    }

    /// The next piece of code.
    pub(super) async fn code(mut self, prompt: String) -> anyhow::Result<(Self, Answer)> {
        let read = tokio::task::spawn_blocking(move || {
            self.lines.set_helper(Some(Whole(Some(self.lang))));
            let answer = answer(self.lines.readline(&prompt))?;
            if let Answer::Line(code) = &answer {
                self.remember(code)?;
            }
            anyhow::Ok((self, answer))
        });
        read.await?
    }

    fn remember(&mut self, code: &str) -> anyhow::Result<()> {
        if code.trim().is_empty() || !self.lines.add_history_entry(code)? {
            return Ok(());
        }
        if let Some(path) = &self.history {
            // At once, so that other prompts and a loss of this one find it. Readable by us only.
            self.lines.append_history(path).context("the history can't be kept")?;
        }
        Ok(())
    }

    /// What the code asks for. It goes into no history.
    pub(super) async fn answer(
        mut self,
        prompt: String,
        hidden: bool,
    ) -> anyhow::Result<(Self, Answer)> {
        let read = tokio::task::spawn_blocking(move || {
            let answer = match hidden {
                true => hidden_line(&prompt)?,
                false => {
                    self.lines.set_helper(Some(Whole(None)));
                    answer(self.lines.readline(&prompt))?
                }
            };
            anyhow::Ok((self, answer))
        });
        read.await?
    }
}

fn answer(read: rustyline::Result<String>) -> anyhow::Result<Answer> {
    match read {
        Ok(line) => Ok(Answer::Line(line)),
        Err(ReadlineError::Eof) => Ok(Answer::End),
        Err(ReadlineError::Interrupted) => Ok(Answer::Interrupt),
        Err(error) => Err(error.into()),
    }
}

/// The terminal as it was, whatever happens until then.
struct Restored(Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        // A terminal that went away has nothing to restore.
        let _gone = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// A line that nobody sees. Keys come one by one, and none of them is a signal, so that no read is
/// left behind that would take the next line.
fn hidden_line(prompt: &str) -> anyhow::Result<Answer> {
    let stdin = std::io::stdin();
    let before = rustix::termios::tcgetattr(&stdin)?;
    let mut unseen = before.clone();
    unseen.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
    unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
    let _restored = Restored(before);
    rustix::termios::tcsetattr(&stdin, OptionalActions::Flush, &unseen)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(prompt.as_bytes())?;
    stdout.flush()?;
    let mut line = Vec::new();
    let answer = loop {
        let mut key = [0];
        let count = stdin.lock().read(&mut key)?;
        match key[0] {
            _ if count == 0 => break Answer::End,
            b'\r' | b'\n' => break Answer::Line(String::from_utf8_lossy(&line).into_owned()),
            0x03 => break Answer::Interrupt,
            0x04 if line.is_empty() => break Answer::End,
            0x08 | 0x7f => erase(&mut line),
            0x15 => line.clear(),
            key if key >= b' ' => line.push(key),
            _ => {}
        }
    };
    stdout.write_all(b"\n")?;
    Ok(answer)
}

/// Takes the last character back, all of its bytes.
fn erase(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_taken_back_whole() {
        let mut line = "aé€".as_bytes().to_vec();
        erase(&mut line);
        assert_eq!(line, "aé".as_bytes());
        erase(&mut line);
        erase(&mut line);
        erase(&mut line);
        assert!(line.is_empty());
    }
}
