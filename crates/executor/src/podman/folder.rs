//! The folder of one sandbox on the host, and the socket that its agent connects to.
//!
//! It is the only thing of the host that a sandbox sees, and it sees it read-only: the agent's
//! connection needs no more. The socket is unlinked as soon as the agent is in, so code in the
//! sandbox finds the text that explains it there, and nothing else. What we write there we never read.

use contracts::SandboxId;
use rustix::fs::{AtFlags, Mode, OFlags, chmodat, open, unlinkat};
use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

/// Others may find a name in it that they know.
pub(super) const SEARCHED: u32 = 0o711;
/// Others may make names in it.
pub(super) const SHARED: u32 = 0o777;

/// The text that explains the sandbox to whoever writes code for it.
pub(super) const HELP: &str = "HELP.txt";

pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Opens or makes this node's part of the root. The root lies in a place where others may write, so one that belongs to
    /// somebody else, or that is a link, is refused.
    pub(super) fn open(root: &Path, node_id: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let found = fs::symlink_metadata(root)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            let message = format!("{} is not a folder of ours", root.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        fs::set_permissions(root, Permissions::from_mode(0o700))?;
        let root = root.canonicalize()?.join(node_id);
        DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        Ok(Self { root })
    }

    /// `mode` is for those who see it in a container: on the host, nobody but us gets to it.
    pub(super) fn make(&self, id: &SandboxId, mode: u32) -> io::Result<Folder> {
        let path = self.root.join(id.as_str());
        DirBuilder::new().mode(mode).create(&path)?;
        // The process's umask may have taken bits that the users in there need.
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(Folder { path })
    }

    /// Every sandbox that has a folder, whatever else of it there is.
    pub(super) fn all(&self) -> Vec<SandboxId> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let id = |entry: fs::DirEntry| SandboxId::new(entry.file_name().into_string().ok()?).ok();
        entries.filter_map(id).collect()
    }

    pub(super) fn find(&self, id: &SandboxId) -> Option<Folder> {
        let path = self.root.join(id.as_str());
        path.is_dir().then_some(Folder { path })
    }
}

pub(super) struct Folder {
    path: PathBuf,
}

/// A bound socket; dropping it unlinks the name.
pub(super) struct Listening {
    listener: UnixListener,
    /// None once the name shall stay.
    folder: Option<OwnedFd>,
    name: &'static str,
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A socket of this name in the folder.
    pub(super) fn listen(&self, name: &'static str) -> io::Result<Listening> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = open(&self.path, flags, Mode::empty())?;
        // A name left over by an earlier life of the node.
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        // By way of the descriptor: a socket's address has room for 107 bytes, a path has not.
        let address = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        let listener = UnixListener::bind(address)?;
        chmodat(&folder, name, Mode::from_raw_mode(0o666), AtFlags::empty())?;
        Ok(Listening { listener, folder: Some(folder), name })
    }

    /// Replaces a text that those inside can read. The file stays the same one, because it is the
    /// file that is mounted, and not its name.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o644);
        let file = fs::File::from(open(self.path.join(name), flags | OFlags::CLOEXEC, mode)?);
        file.set_permissions(Permissions::from_mode(0o644))?;
        (&file).write_all(text.as_bytes())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Listening {
    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// The socket alone, whose name stays for as long as its folder does.
    pub(super) fn keep(mut self) -> io::Result<UnixListener> {
        self.folder = None;
        let listener = self.listener.as_fd().try_clone_to_owned()?;
        UnixListener::from_std(listener.into())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // Gone with its folder is gone as well.
            let _gone = unlinkat(folder, self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_gone_when_nobody_listens_and_may_be_bound_again() {
        let root = std::env::temp_dir().join(format!("pinfold-folder-{}", std::process::id()));
        let folders = Folders::open(&root, "node").unwrap();
        let folder = folders.make(&SandboxId::new("a").unwrap(), SEARCHED).unwrap();
        let socket = folder.path().join("a.sock");
        let listening = folder.listen("a.sock").unwrap();
        assert!(socket.exists());
        drop(listening);
        assert!(!socket.exists());
        drop(folder.listen("a.sock").unwrap());
        folder.remove().unwrap();
        assert!(folders.all().is_empty());
        fs::remove_dir_all(root).unwrap();
    }
}
