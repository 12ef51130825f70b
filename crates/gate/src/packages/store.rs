//! Packages on the node's disk: what registries said, as they said it, one file for each thing.
//!
//! A file is the thing itself, then what is known of it as JSON, then that JSON's length. It gets its
//! name when it is whole, so a node that dies in between leaves a part that the next life removes;
//! and one whose lengths don't agree is no file of ours.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

const PART: &str = "part-";
/// Of what is known of one thing.
const MAX_META_BYTES: u64 = 16 << 10;
const TAIL_BYTES: u64 = 4;

/// The name of a thing: a hash, so that no name of a package is a name on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
    /// Set when it is kept.
    pub(super) bytes: u64,
}

/// A thing that was found, open: it stays readable when it is thrown out meanwhile.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) meta: Meta,
    pub(super) file: File,
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        self.meta.bytes
    }

    /// For things that are small.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.meta.bytes).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    max_bytes: u64,
    max_entries: usize,
    parts: AtomicU64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<String, Entry>,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: SystemTime,
    /// Until then nobody has to be asked whether it has changed. Forgotten with the node's life.
    fresh_until: Option<Instant>,
}

impl Store {
    /// Removes what an earlier life did not finish, and knows the rest again.
    pub(super) fn open(folder: PathBuf, max_bytes: u64, max_entries: usize) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut index = Index::default();
        for entry in folder.read_dir()? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            let about = entry.metadata()?;
            if name.starts_with(PART) {
                std::fs::remove_file(entry.path())?;
            } else if about.is_file() && super::asked::is_sha256(&name) {
                index.bytes += about.len();
                let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                index.entries.insert(name, Entry { bytes: about.len(), used, fresh_until: None });
            }
        }
        let parts = AtomicU64::new(0);
        let store = Self { folder, max_bytes, max_entries, parts, index: Mutex::new(index) };
        store.make_room();
        Ok(store)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, key: &Key) -> Option<Found> {
        self.index().entries.get_mut(&key.0)?.used = SystemTime::now();
        match self.read(key) {
            Ok(found) => {
                // Only the order in which things go depends on it, and only after a restart.
                let _best_effort = found.file.set_modified(SystemTime::now());
                Some(found)
            }
            Err(error) => {
                tracing::warn!(key = key.0, %error, "a kept package can't be read");
                self.forget(key);
                None
            }
        }
    }

    fn read(&self, key: &Key) -> io::Result<Found> {
        let mut file = File::open(self.folder.join(&key.0))?;
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "it is not whole");
        let length = file.metadata()?.len();
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_exact_at(&mut tail, length.checked_sub(TAIL_BYTES).ok_or_else(broken)?)?;
        let about = u64::from(u32::from_le_bytes(tail));
        let start = length.checked_sub(TAIL_BYTES + about).ok_or_else(broken)?;
        if about > MAX_META_BYTES {
            return Err(broken());
        }
        file.seek(SeekFrom::Start(start))?;
        let mut json = Vec::new();
        Read::by_ref(&mut file).take(about).read_to_end(&mut json)?;
        file.seek(SeekFrom::Start(0))?;
        let meta: Meta = serde_json::from_slice(&json)?;
        if meta.bytes == start { Ok(Found { meta, file }) } else { Err(broken()) }
    }

    pub(super) fn forget(&self, key: &Key) {
        let mut index = self.index();
        if let Some(entry) = index.entries.remove(&key.0) {
            index.bytes -= entry.bytes;
            let _gone_already = std::fs::remove_file(self.folder.join(&key.0));
        }
    }

    pub(super) fn is_fresh(&self, key: &Key) -> bool {
        let index = self.index();
        let until = index.entries.get(&key.0).and_then(|entry| entry.fresh_until);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn freshen(&self, key: &Key, until: Instant) {
        if let Some(entry) = self.index().entries.get_mut(&key.0) {
            entry.fresh_until = Some(until);
        }
    }

    /// Somewhere to put a thing until it is whole.
    pub(super) fn part(self: &Arc<Self>) -> io::Result<Part> {
        let path = self.folder.join(format!("{PART}{}", self.parts.fetch_add(1, Relaxed)));
        let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Part { store: Arc::clone(self), path, file: open, bytes: 0, is_kept: false })
    }

    /// What was not used for longest goes, until there is a tenth of the room again.
    fn make_room(&self) {
        let mut index = self.index();
        if index.bytes <= self.max_bytes && index.entries.len() <= self.max_entries {
            return;
        }
        let mut by_use: Vec<(SystemTime, String)> =
            index.entries.iter().map(|(name, entry)| (entry.used, name.clone())).collect();
        by_use.sort_unstable();
        let (bytes, entries) = (self.max_bytes / 10 * 9, self.max_entries / 10 * 9);
        for (_, name) in by_use {
            if index.bytes <= bytes && index.entries.len() <= entries {
                break;
            }
            if let Some(entry) = index.entries.remove(&name) {
                index.bytes -= entry.bytes;
                let _gone_already = std::fs::remove_file(self.folder.join(&name));
            }
        }
    }
}

/// A thing on its way. Dropped before it is kept, it is gone.
#[derive(Debug)]
pub(super) struct Part {
    store: Arc<Store>,
    path: PathBuf,
    file: File,
    bytes: u64,
    is_kept: bool,
}

impl Part {
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.bytes += data.len() as u64;
        Ok(())
    }

    pub(super) fn keep(mut self, key: &Key, meta: Meta) -> io::Result<Found> {
        let meta = Meta { bytes: self.bytes, ..meta };
        let json = serde_json::to_vec(&meta)?;
        let about = u32::try_from(json.len()).map_err(io::Error::other)?;
        self.file.write_all(&json)?;
        self.file.write_all(&about.to_le_bytes())?;
        self.file.sync_data()?;
        std::fs::rename(&self.path, self.store.folder.join(&key.0))?;
        self.is_kept = true;
        let bytes = self.bytes + u64::from(about) + TAIL_BYTES;
        let found = self.store.read(key)?;
        {
            let mut index = self.store.index();
            let entry = Entry { bytes, used: SystemTime::now(), fresh_until: None };
            let before = index.entries.insert(key.0.clone(), entry);
            index.bytes = index.bytes + bytes - before.map_or(0, |entry| entry.bytes);
        }
        self.store.make_room();
        Ok(found)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_kept {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn put(store: &Arc<Store>, name: &str, data: &[u8]) -> Key {
        let key = Key::of(&[name]);
        let mut part = store.part().unwrap();
        part.write(data).unwrap();
        let meta = Meta { content_type: "text/plain".to_owned(), ..Meta::default() };
        part.keep(&key, meta).unwrap();
        key
    }

    fn open(folder: &std::path::Path, max_bytes: u64, max_entries: usize) -> Arc<Store> {
        Arc::new(Store::open(folder.join("packages"), max_bytes, max_entries).unwrap())
    }

    #[test]
    fn what_was_kept_is_there_in_the_next_life_and_half_of_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 1 << 20, 100);
        let key = put(&store, "a", b"words");
        let mut half = store.part().unwrap();
        half.write(b"wo").unwrap();
        std::mem::forget(half);
        store.freshen(&key, Instant::now() + Duration::from_secs(9));
        assert!(store.is_fresh(&key));

        let store = open(folder.path(), 1 << 20, 100);
        assert!(!store.is_fresh(&key));
        let found = store.find(&key).unwrap();
        assert_eq!((found.read().unwrap(), found.bytes()), (b"words".to_vec(), 5));
        assert_eq!(found.meta.content_type, "text/plain");
        let names = folder.path().join("packages").read_dir().unwrap().count();
        assert_eq!(names, 1, "the half is gone");
    }

    #[test]
    fn a_file_that_was_cut_is_no_package() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 1 << 20, 100);
        let key = put(&store, "a", &[b'{'; 100]);
        let path = folder.path().join("packages").join(&key.0);
        for length in [0, 3, 50, 101] {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(length).unwrap();
            assert!(store.read(&key).is_err(), "{length}");
        }
        assert!(store.find(&key).is_none());
        assert!(!path.exists());
        assert_eq!(store.index().bytes, 0);
    }

    #[test]
    fn there_is_never_more_than_there_may_be_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), 10_000, 5);
        let first = put(&store, "first", &[0; 1000]);
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            std::thread::sleep(Duration::from_millis(2));
            assert!(store.find(&first).is_some(), "{name}");
            put(&store, name, &[0; 1000]);
        }
        assert!(store.index().entries.len() <= 5);
        put(&store, "large", &[0; 20_000]);
        assert!(store.index().bytes <= 10_000);
    }
}
