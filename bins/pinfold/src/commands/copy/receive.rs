//! A session's folder, as a tar from a node that relays it from hostile code, into a folder of ours.
//!
//! Plain files and folders with plain names are made, nothing else. A link that is in the way is not
//! written through, whoever made it; links of the session's are left out.

use super::PIECES;
use crate::{client::Streaming, out};
use anyhow::{Context, bail};
use bytes::{Buf, Bytes};
use contracts::file::check_path;
use http_body_util::BodyExt;
use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tar::{Archive, EntryType};
use tokio::sync::mpsc;

/// How many things the node's tar does not hold, as it says.
pub(super) fn left_out(answer: &Streaming) -> u64 {
    let told = answer.response.headers().get("pinfold-left-out");
    told.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Tells how many things were left out, there and here.
pub(super) async fn folder(mut answer: Streaming, folder: PathBuf) -> anyhow::Result<u64> {
    let missing = left_out(&answer);
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let unpacking = tokio::task::spawn_blocking(move || unpack(Arriving::new(receiver), &folder));
    while let Some(frame) = answer.response.frame().await {
        let piece = match frame {
            Ok(frame) => frame.into_data().map_err(|_| io::Error::other("no data")),
            Err(error) => Err(io::Error::other(error)),
        };
        // It has ended before, with an error of its own.
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    Ok(missing + unpacking.await??)
}

/// Bytes as they arrive, for a reader on a thread.
struct Arriving {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Arriving {
    fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { pieces, current: Bytes::new() }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn unpack(from: impl Read, to: &Path) -> anyhow::Result<u64> {
    fs::create_dir_all(to).with_context(|| format!("can't make {}", to.display()))?;
    let mut left_out = 0;
    let mut archive = Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry.context("the answer broke off")?;
        let path = entry.path_bytes().into_owned();
        let path = String::from_utf8(path).context("a name is no text")?;
        let path = path.strip_suffix('/').unwrap_or(&path);
        if let Err(why) = check_path(path) {
            bail!("the session's {path:?} {why}");
        }
        match entry.header().entry_type() {
            EntryType::Directory => folders(to, path)?,
            EntryType::Regular => {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                folders(to, above)?;
                let at = to.join(above).join(name);
                // A name that is there is removed, not written through: it may be a link.
                match fs::remove_file(&at) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error)
                            .with_context(|| format!("can't replace {}", at.display()));
                    }
                    _ => {}
                }
                let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
                let mut options = fs::OpenOptions::new();
                let made = options.write(true).create_new(true).mode(mode | 0o200).open(&at);
                let mut file = made.with_context(|| format!("can't make {}", at.display()))?;
                let size = entry.size();
                let count = io::copy(&mut entry, &mut file)?;
                if count != size {
                    bail!("the answer broke off in {path:?}");
                }
            }
            _ => {
                out::note(format_args!("pinfold: {path}: left out, it is no file and no folder"));
                left_out += 1;
            }
        }
    }
    Ok(left_out)
}

/// Makes folders beneath ours. None of them may be a link.
fn folders(to: &Path, path: &str) -> anyhow::Result<()> {
    let mut at = to.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&at)?.is_dir() {
                    bail!("{} is no folder", at.display());
                }
            }
            Err(error) => {
                return Err(error).with_context(|| format!("can't make {}", at.display()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tar(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = tar::Header::new_old();
            // Past the builder, which would refuse such names itself.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(if *kind == EntryType::Regular { 2 } else { 0 });
            header.set_mode(0o6755);
            header.set_cksum();
            let data = if *kind == EntryType::Regular { &b"a\n"[..] } else { &[] };
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_come_in_without_rights_that_nobody_gave_them() {
        let to = tempfile::tempdir().unwrap();
        let left = unpack(&tar(&[("a/b", EntryType::Regular)])[..], to.path()).unwrap();
        let meta = fs::metadata(to.path().join("a/b")).unwrap();
        assert_eq!((left, meta.len()), (0, 2));
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&meta) & 0o7000, 0);
    }

    #[test]
    fn names_that_climb_make_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let to = outer.path().join("in");
        for name in ["../x", "/tmp/x", "a/../../x"] {
            assert!(unpack(&tar(&[(name, EntryType::Regular)])[..], &to).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_left_out_and_not_written_through() {
        let outer = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        symlink(outer.path(), to.path().join("out")).unwrap();
        fs::write(outer.path().join("kept"), "kept").unwrap();
        symlink(outer.path().join("kept"), to.path().join("file")).unwrap();
        let links = tar(&[("l", EntryType::Symlink), ("h", EntryType::Link)]);
        assert_eq!(unpack(&links[..], to.path()).unwrap(), 2);
        assert!(unpack(&tar(&[("out/x", EntryType::Regular)])[..], to.path()).is_err());
        unpack(&tar(&[("file", EntryType::Regular)])[..], to.path()).unwrap();
        assert_eq!(fs::read_to_string(outer.path().join("kept")).unwrap(), "kept");
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tar_that_is_cut_is_an_error() {
        let to = tempfile::tempdir().unwrap();
        let whole = tar(&[("a", EntryType::Regular)]);
        assert!(unpack(&whole[..513], to.path()).is_err());
    }
}
