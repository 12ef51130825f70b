//! Pictures that code shows: files in a folder, and on terminals that know how, themselves.

use crate::cli::Look;
use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

/// Kinds of pictures, best first, and their files' endings.
const KINDS: [(&str, &str); 3] =
    [("image/png", "png"), ("image/jpeg", "jpg"), ("image/svg+xml", "svg")];

/// Larger ones are files only.
const INLINE_BYTES: usize = 4 << 20;

/// Of kitty's protocol.
const KITTY_CHUNK: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminal {
    Plain,
    /// Knows the way of iTerm2.
    Iterm,
    /// Knows the way of kitty.
    Kitty,
}

pub(super) struct Pictures {
    folder: Option<PathBuf>,
    terminal: Terminal,
    count: usize,
}

impl Pictures {
    pub(super) fn new(look: &Look, session: &str) -> Self {
        let usual = || Some(look.state_folder()?.join("pictures").join(session));
        let terminal = match std::io::stdout().is_terminal() {
            true => terminal(look.term_program.as_deref(), look.kitty_window_id.is_some()),
            false => Terminal::Plain,
        };
        Self { folder: look.pictures.clone().or_else(usual), terminal, count: 0 }
    }

    /// What to print for a result that is a picture; `None` when it is none.
    pub(super) fn show(
        &mut self,
        data: &BTreeMap<String, Value>,
    ) -> anyhow::Result<Option<String>> {
        let found = KINDS.iter().find_map(|(kind, ending)| {
            let text = data.get(*kind)?.as_str()?;
            let bytes = match *kind {
                "image/svg+xml" => text.as_bytes().to_vec(),
                _ => STANDARD.decode(text.replace('\n', "")).ok()?,
            };
            Some((*kind, *ending, bytes))
        });
        let Some((kind, ending, bytes)) = found else { return Ok(None) };
        let path = self.save(ending, &bytes)?;
        let inline = inline(self.terminal, kind, &bytes).unwrap_or_default();
        Ok(Some(format!("{inline}[picture: {}]\n", path.display())))
    }

    fn save(&mut self, ending: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let folder = self.folder.as_ref().context("no folder for pictures: give --pictures")?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("can't make {}", folder.display()))?;
        loop {
            self.count += 1;
            let path = folder.join(format!("{}.{ending}", self.count));
            // New files only: nothing that is there, or a link, is written through.
            match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    file.write_all(bytes)?;
                    return Ok(path);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("can't make {}", path.display()));
                }
            }
        }
    }
}

fn terminal(program: Option<&str>, in_kitty: bool) -> Terminal {
    match program {
        _ if in_kitty => Terminal::Kitty,
        Some("iTerm.app" | "WezTerm") => Terminal::Iterm,
        Some("ghostty") => Terminal::Kitty,
        _ => Terminal::Plain,
    }
}

/// The picture in the terminal's own way. It is encoded anew: no byte of the code's choosing stands
/// beside the encoding's own.
fn inline(terminal: Terminal, kind: &str, bytes: &[u8]) -> Option<String> {
    if bytes.len() > INLINE_BYTES {
        return None;
    }
    let encoded = STANDARD.encode(bytes);
    match (terminal, kind) {
        (Terminal::Iterm, "image/png" | "image/jpeg") => {
            Some(format!("\u{1b}]1337;File=inline=1;size={}:{encoded}\u{7}\n", bytes.len()))
        }
        (Terminal::Kitty, "image/png") => {
            let chunks: Vec<&[u8]> = encoded.as_bytes().chunks(KITTY_CHUNK).collect();
            let last = chunks.len().saturating_sub(1);
            let piece = |(index, chunk): (usize, &&[u8])| {
                let head = if index == 0 { "a=T,f=100," } else { "" };
                let more = u8::from(index != last);
                let chunk = String::from_utf8_lossy(chunk);
                format!("\u{1b}_G{head}m={more};{chunk}\u{1b}\\")
            };
            Some(chunks.iter().enumerate().map(piece).collect::<String>() + "\n")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminals_that_are_known_to_can_are_given_pictures() {
        assert_eq!(terminal(None, false), Terminal::Plain);
        assert_eq!(terminal(Some("Apple_Terminal"), false), Terminal::Plain);
        assert_eq!(terminal(Some("iTerm.app"), false), Terminal::Iterm);
        assert_eq!(terminal(None, true), Terminal::Kitty);
        assert_eq!(inline(Terminal::Plain, "image/png", b"x"), None);
        assert_eq!(inline(Terminal::Kitty, "image/svg+xml", b"x"), None);
        assert_eq!(inline(Terminal::Iterm, "image/png", &vec![0; INLINE_BYTES + 1]), None);
    }

    #[test]
    fn a_picture_is_sent_in_pieces() {
        let sent = inline(Terminal::Kitty, "image/png", &[7; 4000]).unwrap();
        let pieces: Vec<&str> = sent.split_inclusive("\u{1b}\\").collect();
        assert!(pieces[0].starts_with("\u{1b}_Ga=T,f=100,m=1;"));
        assert!(pieces[1].starts_with("\u{1b}_Gm=0;"));
        assert_eq!(pieces.len(), 3);
    }

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().to_owned());
        let mut pictures = Pictures { folder: path, terminal: Terminal::Plain, count: 0 };
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("1.png")).unwrap();
        let data = BTreeMap::from([("image/png".to_owned(), Value::from("eHg="))]);
        let told = pictures.show(&data).unwrap().unwrap();
        assert!(told.ends_with("/2.png]\n"), "{told}");
        assert_eq!(std::fs::read(folder.path().join("2.png")).unwrap(), b"xx");
        let none = BTreeMap::from([("text/plain".to_owned(), Value::from("x"))]);
        assert_eq!(pictures.show(&none).unwrap(), None);
    }
}
