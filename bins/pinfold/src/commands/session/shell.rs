//! Our terminal as one in a session: keys go there and what is written comes here, byte for byte,
//! until the program there ends. A connection that is lost is taken up where it broke.

use super::path_of;
use crate::{cli::Shell, client::Client, commands::jobs::encoded, out, patience::Patience};
use anyhow::{Context, bail};
use bytes::Bytes;
use contracts::{
    link::terminal::Size,
    terminal::{TerminalControl, TerminalExit, TerminalNote, TerminalRequest, TerminalView},
};
use futures::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios};
use std::{
    io::{IsTerminal, Write},
    os::fd::AsFd,
    process::ExitCode,
};
use tokio::{
    io::AsyncReadExt,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_tungstenite::tungstenite::Message;

/// The key that leaves the terminal to itself: Ctrl-].
const LEAVE: u8 = 0x1d;

/// Keys that are taken at a time.
const KEYS: usize = 4096;

/// The terminal in its raw mode; as it was, whatever happens.
struct Raw(Termios);

impl Raw {
    fn enter() -> anyhow::Result<Self> {
        let before = rustix::termios::tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that went away has nothing to restore.
        let _gone = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// How one connection ended.
enum Parted {
    Exit(TerminalExit),
    /// By the key.
    Left,
    /// The connection broke.
    Lost,
}

pub(super) async fn run(client: &Client, options: Shell) -> anyhow::Result<ExitCode> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        bail!("a shell needs a terminal; for scripts there is `pinfold session exec`");
    }
    let terminals = format!("{}/terminals", path_of(&options.id));
    let id = match options.attach {
        Some(id) => id,
        None => {
            let Size { rows, cols } = size();
            let request = TerminalRequest {
                command: options.command,
                rows,
                cols,
                ..TerminalRequest::default()
            };
            let opened: TerminalView = client.post(&terminals, &request).await?;
            opened.terminal_id.to_string()
        }
    };
    let path = format!("{terminals}/{}", encoded(&id));
    out::note(format_args!("Ctrl-] leaves the terminal, which stays"));
    let parted = {
        let _raw = Raw::enter()?;
        // Who ends us from outside gets the terminal back as it was, too.
        let (mut ended, mut hung_up) =
            (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        tokio::select! {
            parted = follow(client, &path) => parted,
            _ = ended.recv() => Ok(Parted::Left),
            _ = hung_up.recv() => Ok(Parted::Left),
        }
    };
    match parted? {
        Parted::Exit(TerminalExit::Code(code)) => {
            // Who sees it end wants it no more.
            let _gone = client.delete(&path).await;
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Parted::Exit(TerminalExit::Signal(signal)) => {
            let _gone = client.delete(&path).await;
            Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)))
        }
        Parted::Left | Parted::Lost => {
            let session = &options.id;
            out::note(format_args!(
                "\nthe terminal stays: pinfold session shell {session} --attach {id}"
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn follow(client: &Client, path: &str) -> anyhow::Result<Parted> {
    let (mut at, mut patience) = (None, Patience::default());
    let mut resized = signal(SignalKind::window_change())?;
    let mut keys = tokio::io::stdin();
    loop {
        let before = at;
        let error = match look(client, path, &mut at, &mut resized, &mut keys).await {
            Ok(Parted::Lost) => None,
            Ok(parted) => return Ok(parted),
            // What the node says of the terminal will not change by asking again.
            Err(error) if error.is::<crate::client::Refused>() => return Err(error),
            Err(error) => Some(error),
        };
        if !patience.lasts(at != before).await {
            return Err(error.unwrap_or_else(|| anyhow::anyhow!("the node can't be reached")));
        }
    }
}

async fn look(
    client: &Client,
    path: &str,
    at: &mut Option<u64>,
    resized: &mut Signal,
    keys: &mut tokio::io::Stdin,
) -> anyhow::Result<Parted> {
    let path = match at {
        Some(at) => format!("{path}?from={at}"),
        None => path.to_owned(),
    };
    let (mut sink, mut stream) = client.socket(&path).await?.split();
    // It may have changed since the last time that somebody told.
    sink.send(control(&TerminalControl::Resize(size()))).await?;
    let mut typed = [0; KEYS];
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(data))) => {
                    show(&data)?;
                    *at = Some(at.unwrap_or(0) + data.len() as u64);
                }
                Some(Ok(Message::Text(text))) => match serde_json::from_str(text.as_str())? {
                    TerminalNote::Terminal { from, .. } | TerminalNote::Gap { from } => {
                        *at = Some(from);
                    }
                    TerminalNote::Exit(exit) => return Ok(Parted::Exit(exit)),
                },
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(Parted::Lost),
                Some(Ok(_)) => {}
            },
            _ = resized.recv() => {
                sink.send(control(&TerminalControl::Resize(size()))).await?;
            }
            // What is read while this waits for something else is there the next time.
            read = keys.read(&mut typed) => {
                let keys = &typed[..read.context("the keyboard")?];
                if keys.is_empty() || keys.contains(&LEAVE) {
                    return Ok(Parted::Left);
                }
                if sink.send(Message::Binary(Bytes::copy_from_slice(keys))).await.is_err() {
                    return Ok(Parted::Lost);
                }
            }
        }
    }
}

fn control(control: &TerminalControl) -> Message {
    // These types always serialise.
    Message::text(serde_json::to_string(control).unwrap_or_default())
}

/// The person wanted a terminal, and what works it is theirs to see.
fn show(data: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(data)?;
    stdout.flush()
}

fn size() -> Size {
    let told = rustix::termios::tcgetwinsize(std::io::stdout().as_fd());
    let told = told.ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    let usual = TerminalRequest::default().size();
    let most = contracts::terminal::MAX_SIDE;
    told.map_or(usual, |size| Size { rows: size.ws_row.min(most), cols: size.ws_col.min(most) })
}
