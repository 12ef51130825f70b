//! Tars that callers send ahead of their jobs: checked whole before they are kept, taken once.

use crate::{JobError, NodeConfig};
use contracts::{Faults, Version, file::check_path, job::UploadResponse, sandbox::MAX_INPUT_FILES};
use std::{io::Read, path::PathBuf, time::SystemTime};

/// One file of an upload.
pub(crate) struct Uploaded {
    pub(crate) path: String,
    pub(crate) executable: bool,
    pub(crate) data: Vec<u8>,
}

/// Uploads may hold more files than a request does inline.
const MAX_FILES: usize = 16 * MAX_INPUT_FILES;

pub(crate) async fn keep(config: &NodeConfig, tar: Vec<u8>) -> Result<UploadResponse, JobError> {
    let most = config.upload_max_bytes;
    if tar.len() as u64 > most {
        return Err(JobError::TooLarge { what: "the upload", most });
    }
    unpack(&tar, most)?;
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| JobError::fault("upload", std::io::Error::from(e)))?;
    let upload_id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let size_bytes = tar.len() as u64;
    let path = folder(config).join(&upload_id);
    let write = async {
        tokio::fs::create_dir_all(folder(config)).await?;
        tokio::fs::write(path, tar).await
    };
    write.await.map_err(|e| JobError::fault("upload", e))?;
    Ok(UploadResponse { version: Version, upload_id, size_bytes })
}

/// The files of an upload. It stays until its time is over, for a job that is tried again.
pub(crate) async fn take(config: &NodeConfig, id: &str) -> Result<Vec<Uploaded>, JobError> {
    let well_formed = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if !well_formed {
        return Err(wrong("sandbox.upload_id", "is not the id of an upload"));
    }
    let tar = tokio::fs::read(folder(config).join(id)).await;
    let tar = tar.map_err(|_| wrong("sandbox.upload_id", "names no upload that is still kept"))?;
    unpack(&tar, config.upload_max_bytes)
}

/// Removes uploads whose time is over.
pub(crate) async fn sweep(config: &NodeConfig) {
    let Ok(mut entries) = tokio::fs::read_dir(folder(config)).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let made = entry.metadata().await.and_then(|meta| meta.modified());
        let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok());
        if age.is_some_and(|age| age > config.upload_keep) {
            // Another sweep, or the operator, may have been quicker.
            let _gone = tokio::fs::remove_file(entry.path()).await;
        }
    }
}

fn folder(config: &NodeConfig) -> PathBuf {
    config.state_dir.join("uploads")
}

/// Reads a tar of plain files and folders. Anything else in it refuses the whole.
fn unpack(tar: &[u8], most: u64) -> Result<Vec<Uploaded>, JobError> {
    let broken = |_| wrong("body", "is not a tar");
    let mut files = Vec::new();
    let mut total = 0;
    for entry in tar::Archive::new(tar).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let path = entry.path_bytes();
        let path =
            std::str::from_utf8(&path).map_err(|_| wrong("body", "has a name that is no text"))?;
        let path = path.strip_prefix("./").unwrap_or(path).to_owned();
        if !kind.is_file() {
            return Err(wrong("body", &format!("holds {path:?}, which is no plain file")));
        }
        check_path(&path).map_err(|why| wrong("body", &format!("holds {path:?}, which {why}")))?;
        total += entry.size();
        if total > most || files.len() >= MAX_FILES {
            return Err(JobError::TooLarge { what: "the unpacked upload", most });
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        let mut data = Vec::new();
        // The size in the header is checked above; what is read is at most the tar itself.
        entry.read_to_end(&mut data).map_err(broken)?;
        files.push(Uploaded { path, executable, data });
    }
    Ok(files)
}

fn wrong(field: &str, message: &str) -> JobError {
    let mut faults = Faults::default();
    faults.add(field, message);
    JobError::Invalid(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(name: &str, kind: tar::EntryType) -> Vec<u8> {
        let mut header = tar::Header::new_old();
        // Past the builder, which would refuse such names itself.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, std::io::empty()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn plain_files_are_unpacked() {
        let files = unpack(&tar("./a/b", tar::EntryType::Regular), 10).unwrap();
        assert_eq!(files[0].path, "a/b");
    }

    #[test]
    fn names_that_climb_and_things_that_are_no_files_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../x"] {
            assert!(unpack(&tar(name, tar::EntryType::Regular), 10).is_err(), "{name}");
        }
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char] {
            assert!(unpack(&tar("x", kind), 10).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn noise_is_not_a_tar() {
        assert!(unpack(&[7; 1024], 4096).is_err());
    }
}
