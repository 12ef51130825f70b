//! A folder of ours as a tar: files, folders, and links that stay inside.

use super::{PIECE_BYTES, Pieces};
use bytes::Bytes;
use contracts::link::files::link_stays_inside;
use std::{
    fs,
    io::{self, BufWriter, Read, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tar::{Builder, EntryType, Header};

/// How many things were not sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Write for &Pieces {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.give(Bytes::copy_from_slice(data)).map(|()| data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn folder(folder: &Path, pieces: &Pieces, left_out: &Counter) -> io::Result<()> {
    let mut tar = Builder::new(BufWriter::with_capacity(PIECE_BYTES, pieces));
    append(&mut tar, folder, "", left_out)?;
    tar.into_inner()?.flush()
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    folder: &Path,
    prefix: &str,
    left_out: &Counter,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort();
    for name in names {
        let here = folder.join(&name);
        let meta = fs::symlink_metadata(&here)?;
        let name = match name.to_str() {
            Some(name) if prefix.is_empty() => name.to_owned(),
            Some(name) => format!("{prefix}/{name}"),
            None => {
                left_out.0.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        let mut header = Header::new_gnu();
        header.set_mode(meta.mode() & 0o777);
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_size(0);
        if meta.is_dir() {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, format!("{name}/"), io::empty())?;
            append(tar, &here, &name, left_out)?;
        } else if meta.is_file() {
            header.set_size(meta.len());
            let file = fs::File::open(&here)?;
            tar.append_data(&mut header, &name, Exactly { file, left: meta.len() })?;
        } else {
            let target = fs::read_link(&here).ok().and_then(|to| to.to_str().map(str::to_owned));
            match target.filter(|target| link_stays_inside(&name, target)) {
                Some(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    tar.append_link(&mut header, &name, target)?;
                }
                None => drop(left_out.0.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }
    Ok(())
}

/// As many bytes as the header says. A file that shrinks under us must not shift what follows.
struct Exactly {
    file: fs::File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::other("a file has shrunk while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
