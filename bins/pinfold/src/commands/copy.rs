//! Files and folders between here and a session.

mod receive;
mod send;

use super::jobs::encoded;
use crate::{
    cli::{Copy, End, Here, Place, SessionPath},
    client::{Client, Refused, RequestBody},
    out,
};
use anyhow::{Context, bail};
use bytes::Bytes;
use contracts::{file::FileView, link::files::FileKind};
use http_body_util::BodyExt;
use std::{
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::sync::mpsc;

/// Pieces between the thread that reads or writes here and the node.
const PIECES: usize = 4;
const PIECE_BYTES: usize = 64 << 10;

/// Something was not copied, and was named.
const LEFT_OUT: u8 = 1;

pub(crate) async fn run(client: &Client, copy: Copy) -> anyhow::Result<ExitCode> {
    let left_out = match (copy.from, copy.to) {
        (Place::Stream, Place::Session(to)) => from_stdin(client, &to).await?,
        (Place::Here(from), Place::Session(to)) => send_from(client, &from, &to).await?,
        (Place::Session(from), Place::Stream) => to_stdout(client, &from).await?,
        (Place::Session(from), Place::Here(to)) => receive_to(client, &from, &to).await?,
        (Place::Session(_), Place::Session(_)) => {
            bail!("both sides are sessions: copy to here first, or join two by - and a pipe")
        }
        _ => bail!("one side must be a session's, as SESSION:PATH"),
    };
    if left_out == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    out::note(format_args!(
        "pinfold: {left_out} left out: links that may lead out, pipes, devices and the like"
    ));
    Ok(ExitCode::from(LEFT_OUT))
}

/// The node's path of a session's file.
fn url(at: &SessionPath, path: &str, query: &str) -> String {
    let segments: String = path.split('/').map(|part| format!("/{}", encoded(part))).collect();
    let segments = if path.is_empty() { "" } else { &segments };
    format!("/sessions/{}/files{segments}{query}", encoded(at.session.as_str()))
}

async fn stat(client: &Client, at: &SessionPath, path: &str) -> anyhow::Result<Option<FileView>> {
    match client.get(&url(at, path, "?stat")).await {
        Ok(view) => Ok(Some(view)),
        Err(error) => match error.downcast_ref::<Refused>() {
            // The session is there, the file is not.
            Some(refused) if refused.0.status == 404 && names_file(refused) => Ok(None),
            _ => Err(error),
        },
    }
}

fn names_file(refused: &Refused) -> bool {
    !refused.0.detail.as_deref().unwrap_or_default().contains("no such session")
}

/// Where a thing of that name goes in a session.
async fn target(client: &Client, to: &SessionPath, name: &str) -> anyhow::Result<String> {
    let into = match to.end {
        End::Slash | End::Dot => true,
        End::Name => {
            stat(client, to, &to.path).await?.is_some_and(|at| at.kind == FileKind::Folder)
        }
    };
    Ok(match (into, to.path.as_str()) {
        (false, path) => path.to_owned(),
        (true, "") => name.to_owned(),
        (true, path) => format!("{path}/{name}"),
    })
}

async fn from_stdin(client: &Client, to: &SessionPath) -> anyhow::Result<u64> {
    if to.end != End::Name {
        bail!("standard input has no name: give one, as SESSION:PATH/NAME");
    }
    let body = produced(|pieces| pump(io::stdin().lock(), &pieces));
    client.put(&url(to, &to.path, ""), body, None).await?;
    Ok(0)
}

async fn send_from(client: &Client, from: &Here, to: &SessionPath) -> anyhow::Result<u64> {
    let shown = from.path.display();
    let meta = std::fs::metadata(&from.path).with_context(|| format!("can't read {shown}"))?;
    if meta.is_dir() {
        let path = match from.end {
            End::Dot => to.path.clone(),
            End::Name | End::Slash => target(client, to, &name_of(&from.path)?).await?,
        };
        let folder = from.path.clone();
        let left_out = send::Counter::default();
        let count = left_out.clone();
        let body = produced(move |pieces| send::folder(&folder, &pieces, &count));
        client.put(&url(to, &path, "?tar"), body, None).await?;
        return Ok(left_out.count());
    }
    if !meta.is_file() || from.end != End::Name {
        bail!("{shown} is no file and no folder");
    }
    let path = target(client, to, &name_of(&from.path)?).await?;
    let mut file =
        std::fs::File::open(&from.path).with_context(|| format!("can't read {shown}"))?;
    let size = meta.len();
    let body = produced(move |pieces| pump((&mut file).take(size), &pieces));
    let query = format!("?mode={:o}", meta.mode() & 0o777);
    client.put(&url(to, &path, &query), body, Some(size)).await?;
    Ok(0)
}

fn name_of(path: &Path) -> anyhow::Result<String> {
    let name = path.canonicalize().ok().and_then(|path| {
        // `..` has a name too, and a link keeps its own.
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned());
        own.filter(|name| !name.is_empty())
    });
    let given = path.file_name().map(|name| name.to_string_lossy().into_owned());
    given.or(name).with_context(|| format!("{} has no name", path.display()))
}

async fn to_stdout(client: &Client, from: &SessionPath) -> anyhow::Result<u64> {
    let (path, tar) = match stat(client, from, &from.path).await? {
        None => bail!("{} is not there", from.path),
        Some(view) if view.kind == FileKind::Folder => (url(from, &from.path, "?tar"), true),
        Some(_) => (url(from, &from.path, ""), false),
    };
    let mut answer = client.stream(&path, &[]).await?;
    let left_out = if tar { receive::left_out(&answer) } else { 0 };
    let mut stdout = io::stdout().lock();
    while let Some(frame) = answer.response.frame().await {
        let frame = frame.context("the answer broke off")?;
        if let Ok(data) = frame.into_data() {
            match stdout.write_all(&data) {
                // Who reads us has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(left_out),
                written => written?,
            }
        }
    }
    stdout.flush()?;
    Ok(left_out)
}

async fn receive_to(client: &Client, from: &SessionPath, to: &Here) -> anyhow::Result<u64> {
    let Some(view) = stat(client, from, &from.path).await? else {
        bail!("{} is not there", from.path);
    };
    let name = from.path.rsplit('/').next().unwrap_or_default();
    let into = to.end != End::Name || to.path.is_dir();
    match view.kind {
        FileKind::Folder => {
            // The workspace has no name that it could have here.
            let whole = from.end == End::Dot || name.is_empty();
            let folder = if into && !whole { to.path.join(name) } else { to.path.clone() };
            let answer = client.stream(&url(from, &from.path, "?tar"), &[]).await?;
            receive::folder(answer, folder).await
        }
        _ => {
            let file = if into { to.path.join(name) } else { to.path.clone() };
            receive_file(client, from, &view, file).await.map(|()| 0)
        }
    }
}

async fn receive_file(
    client: &Client,
    from: &SessionPath,
    view: &FileView,
    to: PathBuf,
) -> anyhow::Result<()> {
    let mut answer = client.stream(&url(from, &from.path, ""), &[]).await?;
    let mode = u32::from_str_radix(&view.mode, 8).unwrap_or(0o644) & 0o777;
    let mut name = to.file_name().context("the target has no name")?.to_owned();
    name.push(format!(".pinfold-{}.part", std::process::id()));
    let half_done = to.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode | 0o200).open(&half_done);
    let mut file = opened.with_context(|| format!("can't write beside {}", to.display()))?;
    let read = async {
        while let Some(frame) = answer.response.frame().await {
            let frame = frame.context("the answer broke off")?;
            if let Ok(data) = frame.into_data() {
                file.write_all(&data)?;
            }
        }
        std::fs::rename(&half_done, &to).with_context(|| format!("can't write {}", to.display()))
    };
    let done = read.await;
    if done.is_err() {
        // It was made by us, and holds half of a file.
        let _gone = std::fs::remove_file(&half_done);
    }
    done
}

/// What a body is made of: pieces from a thread that may wait for a disk.
pub(super) struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Pieces {
    fn give(&self, piece: Bytes) -> io::Result<()> {
        // The node has heard enough: its answer says why.
        self.0.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn produced(produce: impl FnOnce(Pieces) -> io::Result<()> + Send + 'static) -> RequestBody {
    let (sender, receiver) = mpsc::channel(PIECES);
    let failed = sender.clone();
    let thread = move || {
        if let Err(error) = produce(Pieces(sender)) {
            // Nobody listens when it was the node who had enough.
            let _unheard = failed.blocking_send(Err(error));
        }
    };
    // Its end is the channel's: whoever reads that has heard of it.
    let _thread = tokio::task::spawn_blocking(thread);
    RequestBody::pieces(receiver)
}

fn pump(mut from: impl Read, to: &Pieces) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        to.give(Bytes::copy_from_slice(&buffer[..count]))?;
    }
}
