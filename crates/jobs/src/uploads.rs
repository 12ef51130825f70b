//! Tars that callers send ahead of their jobs: checked whole before they are kept, taken once.

use crate::{JobError, NodeConfig, room};
use contracts::{Faults, Version, file::check_path, job::UploadResponse, sandbox::MAX_INPUT_FILES};
use std::{io::Read, path::PathBuf, time::SystemTime};

/// One file of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    pub path: String,
    pub executable: bool,
    pub data: Vec<u8>,
}

/// Of a tar.
const BLOCK: u64 = 512;

/// Bytes of a name in a refusal.
const MAX_TOLD: usize = 200;

/// Uploads may hold more files than a request does inline.
const MAX_FILES: usize = 16 * MAX_INPUT_FILES;

pub(crate) async fn keep(config: &NodeConfig, tar: Vec<u8>) -> Result<UploadResponse, JobError> {
    let most = config.upload_max_bytes;
    if tar.len() as u64 > most {
        return Err(JobError::TooLarge { what: "the upload", most });
    }
    unpack(&tar, most)?;
    room::check(config)?;
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| JobError::fault("upload", std::io::Error::from(e)))?;
    let upload_id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let size_bytes = tar.len() as u64;
    let path = folder(config).join(&upload_id);
    let write = async {
        tokio::fs::create_dir_all(folder(config)).await?;
        tokio::fs::write(&path, tar).await
    };
    if let Err(error) = write.await {
        // On a full disk it is a part of what fills it.
        let _gone = tokio::fs::remove_file(&path).await;
        return Err(room::refusal(error, "upload"));
    }
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

/// Reads a tar of plain files and folders. Anything else in it refuses the whole, and so does the want
/// of an end: whoever wrote it may have been cut off, and half of the files are not what was meant.
///
/// Public for who fuzzes it.
pub fn unpack(tar: &[u8], most: u64) -> Result<Vec<Uploaded>, JobError> {
    let broken = |_| wrong("body", "is not a whole tar");
    let mut files = Vec::new();
    let mut total: u64 = 0;
    // Where the next header is.
    let mut next = 0;
    for entry in tar::Archive::new(tar).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let size = entry.size();
        next = entry
            .raw_file_position()
            .saturating_add(size.saturating_add(BLOCK - 1) / BLOCK * BLOCK);
        let kind = entry.header().entry_type();
        let path = entry.path_bytes().into_owned();
        let refused = |why: &str| wrong("body", &format!("holds {}, which {why}", shown(&path)));
        if kind.is_pax_global_extensions() {
            let mut said = Vec::new();
            entry.read_to_end(&mut said).map_err(broken)?;
            check_extensions(tar::PaxExtensions::new(&said), &["path", "linkpath", "size"])
                .map_err(|why| wrong("body", why))?;
            continue;
        }
        if let Some(said) = entry.pax_extensions().map_err(broken)? {
            check_extensions(said, &[]).map_err(refused)?;
        }
        if kind.is_dir() {
            continue;
        }
        let name = std::str::from_utf8(&path).map_err(|_| refused("is no text"))?;
        let name = name.strip_prefix("./").unwrap_or(name).to_owned();
        if !kind.is_file() {
            return Err(refused("is no plain file"));
        }
        check_path(&name).map_err(refused)?;
        if files.len() >= MAX_FILES {
            return Err(wrong("body", &format!("holds more than {MAX_FILES} files")));
        }
        total = total.saturating_add(size);
        if total > most {
            return Err(JobError::TooLarge { what: "the unpacked upload", most });
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        let mut data = Vec::new();
        // The size in the header is checked above; what is read is at most the tar itself.
        entry.read_to_end(&mut data).map_err(broken)?;
        files.push(Uploaded { path: name, executable, data });
    }
    let end = usize::try_from(next).ok().and_then(|next| tar.get(next..)?.first_chunk::<512>());
    match end {
        Some(end) if end.iter().all(|byte| *byte == 0) => Ok(files),
        _ => Err(wrong("body", "is not a whole tar: its end is missing")),
    }
}

/// What is said beside the headers changes no content, and not all entries at once.
fn check_extensions(said: tar::PaxExtensions<'_>, refused: &[&str]) -> Result<(), &'static str> {
    for extension in said {
        let key = extension.map_err(|_| "has a header that can't be read")?.key_bytes();
        if key.starts_with(b"GNU.sparse.") {
            return Err("is sparse: --sparse leaves out what is in it");
        }
        if refused.iter().any(|refused| refused.as_bytes() == key) {
            return Err("gives all entries the same name or size");
        }
    }
    Ok(())
}

/// A name in a refusal, which is short.
fn shown(path: &[u8]) -> String {
    let mut path = format!("{:?}", String::from_utf8_lossy(&path[..path.len().min(MAX_TOLD)]));
    if path.len() > MAX_TOLD {
        path.truncate(path.floor_char_boundary(MAX_TOLD));
        path.push('…');
    }
    path
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

    fn entry(kind: tar::EntryType, name: &str, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn said(tar: &[u8]) -> String {
        unpack(tar, 4096).map(drop).expect_err("it is refused").to_string()
    }

    const END: [u8; 1024] = [0; 1024];

    #[test]
    fn a_tar_without_its_end_was_cut_off() {
        let files = [
            entry(tar::EntryType::Regular, "a", b"a"),
            entry(tar::EntryType::Regular, "b", &[0; 512]),
        ];
        let whole = [&files.concat()[..], &END].concat();
        assert_eq!(unpack(&whole, 4096).unwrap().len(), 2);
        for end in [0, 512, 1024, 1536, 2048] {
            assert!(said(&whole[..end]).contains("not a whole tar"), "{end}");
        }
    }

    #[test]
    fn what_would_be_understood_otherwise_elsewhere_is_refused() {
        let file = entry(tar::EntryType::Regular, "a", b"a");
        let sparse = entry(tar::EntryType::XHeader, "p", b"22 GNU.sparse.major=1\n");
        assert!(said(&[sparse, file.clone(), END.to_vec()].concat()).contains("sparse"));
        let global = entry(tar::EntryType::XGlobalHeader, "p", b"10 path=b\n");
        assert!(said(&[global, file, END.to_vec()].concat()).contains("all entries"));
    }

    #[test]
    fn a_refusal_is_short_however_long_the_name() {
        let long = entry(tar::EntryType::GNULongName, "l", &[b'x'; 100_000]);
        let file = entry(tar::EntryType::Regular, "a", b"a");
        assert!(said(&[long, file, END.to_vec()].concat()).len() < 500);
    }

    #[test]
    fn noise_is_not_a_tar() {
        assert!(unpack(&[7; 1024], 4096).is_err());
    }
}
