//! The key that opens the providers' keys: it comes from outside of the database, and is never in it.

use base64::{Engine, prelude::BASE64_STANDARD};
use contracts::Hidden;
use rustix::fs::{Mode, OFlags};
use std::{
    io::{Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

pub(crate) const KEY_BYTES: usize = 32;
/// Larger than any way of writing the key down.
const MAX_FILE_BYTES: u64 = 256;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the provider key {path} can't be read", path = .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the provider key {path} can't be made", path = .path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the provider key {path} may be read by others: chmod 600 it", path = .path.display())]
    Open { path: PathBuf },
    #[error("the provider key {path} belongs to another user", path = .path.display())]
    Foreign { path: PathBuf },
    #[error("the provider key in {0} must be 32 bytes as hexadecimal digits or base64")]
    Form(String),
    #[error(
        "the provider key {path} is gone, and the store holds keys that only it opens: bring it \
         back, or delete the providers from the store",
        path = .path.display()
    )]
    Gone { path: PathBuf },
    #[error("there is no randomness for a provider key")]
    Random(#[source] std::io::Error),
}

/// Where the key is. Exactly one of them is a node's.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file of the operator's, readable by the node alone.
    File(PathBuf),
    /// A file that the service manager shows to the service; its mode is the manager's.
    Credential(PathBuf),
    /// From the environment.
    Given(Hidden),
    /// A file of the node's own, made when it is first needed.
    Own(PathBuf),
}

/// On the heap, where it stays: a key that is moved about leaves copies.
pub struct MasterKey(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl KeySource {
    /// `is_first` tells that nothing is sealed on this node, so that a key may be made.
    pub fn read(&self, is_first: bool) -> Result<MasterKey, KeyError> {
        match self {
            Self::File(path) => parse(&read_private(path)?, &path.display().to_string()),
            Self::Credential(path) => {
                let text = read(path, &mut open(path)?)?;
                parse(&text, &path.display().to_string())
            }
            Self::Given(text) => parse(text.reveal().as_bytes(), "PROVIDER_KEY"),
            Self::Own(path) => match read_private(path) {
                Ok(text) => parse(&text, &path.display().to_string()),
                Err(KeyError::Read { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    match is_first {
                        true => make(path),
                        false => Err(KeyError::Gone { path: path.clone() }),
                    }
                }
                Err(error) => Err(error),
            },
        }
    }
}

impl MasterKey {
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    fn empty() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_BYTES])))
    }
}

fn open(path: &Path) -> Result<std::fs::File, KeyError> {
    // Not through a link that somebody else may have put there, and not waiting on a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty());
    file.map(Into::into).map_err(|e| KeyError::Read { path: path.into(), source: e.into() })
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut file = open(path)?;
    let about = file.metadata().map_err(|source| KeyError::Read { path: path.into(), source })?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(KeyError::Open { path: path.into() });
    }
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&about.uid());
    if !ours {
        return Err(KeyError::Foreign { path: path.into() });
    }
    read(path, &mut file)
}

fn read(path: &Path, file: &mut std::fs::File) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize));
    let read = file.take(MAX_FILE_BYTES).read_to_end(&mut text);
    read.map_err(|source| KeyError::Read { path: path.into(), source })?;
    Ok(text)
}

fn make(path: &Path) -> Result<MasterKey, KeyError> {
    let failed = |source| KeyError::Make { path: path.to_owned(), source };
    let key = random()?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in key.bytes() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let mut file = std::fs::File::from(file.map_err(|e| failed(e.into()))?);
    file.write_all(text.as_bytes()).map_err(failed)?;
    // What it seals must not outlive it, not even a power cut.
    file.sync_all().map_err(failed)?;
    let folder = std::fs::File::open(path.parent().unwrap_or(Path::new(".")));
    folder.and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(key)
}

fn random() -> Result<MasterKey, KeyError> {
    let mut key = MasterKey::empty();
    fill(key.0.as_mut_slice()).map_err(KeyError::Random)?;
    Ok(key)
}

/// From the kernel, all of it or an error.
pub(crate) fn fill(bytes: &mut [u8]) -> std::io::Result<()> {
    let flags = rustix::rand::GetRandomFlags::empty();
    // The kernel gives up to 256 bytes at once, so there is no rest to ask for.
    match rustix::rand::getrandom(&mut *bytes, flags)? {
        got if got == bytes.len() => Ok(()),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn parse(text: &[u8], from: &str) -> Result<MasterKey, KeyError> {
    let wrong = || KeyError::Form(from.to_owned());
    let text = text.trim_ascii();
    let mut key = MasterKey::empty();
    if text.len() == 2 * KEY_BYTES {
        let digit = |byte: u8| (byte as char).to_digit(16).ok_or_else(wrong);
        for (byte, pair) in key.0.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        return Ok(key);
    }
    let mut decoded = Zeroizing::new([0; MAX_FILE_BYTES as usize]);
    let length = BASE64_STANDARD.decode_slice(text, decoded.as_mut_slice()).map_err(|_| wrong())?;
    if length != KEY_BYTES {
        return Err(wrong());
    }
    key.0.copy_from_slice(&decoded[..KEY_BYTES]);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
        KeySource::Given(text.to_owned().into()).read(true).map(|key| *key.bytes())
    }

    #[test]
    fn a_key_is_written_in_hexadecimal_or_base64() {
        assert_eq!(given(&"0f".repeat(32)).unwrap(), [15; 32]);
        assert_eq!(given(&format!(" {}\n", BASE64_STANDARD.encode([7; 32]))).unwrap(), [7; 32]);
        let short = BASE64_STANDARD.encode([7; 31]);
        for wrong in ["", "secret", &"0g".repeat(32), &"0".repeat(63), &short, &"a".repeat(400)] {
            assert!(matches!(given(wrong), Err(KeyError::Form(_))), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "0f".repeat(32)).unwrap();
        for (mode, refused) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let read = KeySource::File(path.clone()).read(true);
            assert_eq!(matches!(read, Err(KeyError::Open { .. })), refused, "{mode:o}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(KeySource::File(link).read(true), Err(KeyError::Read { .. })));
    }

    #[test]
    fn the_nodes_own_key_is_made_once_and_never_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("provider.key");
        let own = KeySource::Own(path.clone());
        let first = *own.read(true).unwrap().bytes();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*own.read(false).unwrap().bytes(), first);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(own.read(false), Err(KeyError::Gone { .. })));
        assert!(!path.exists());
    }
}
