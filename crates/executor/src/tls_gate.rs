//! The second way from a sidecar to its node: the socket where calls come inside TLS, and the folder
//! in which the sandbox finds whom to believe about it.

use contracts::sandbox::path;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tokio::net::UnixListener;

pub struct TlsGate {
    listener: UnixListener,
    folder: PathBuf,
}

impl TlsGate {
    /// `folder` is the node's alone to write to: the sandbox has it read-only.
    pub(crate) fn new(listener: UnixListener, folder: PathBuf) -> Self {
        Self { listener, folder }
    }

    /// Tells the sandbox whom to believe, in place of whoever it was told before: the authority by
    /// itself, and with others. Both are PEM texts. What remains is to be served.
    pub fn publish(self, authority: &str, others: &str) -> io::Result<UnixListener> {
        self.write(path::TLS_AUTHORITY, authority)?;
        self.write(path::TLS_BUNDLE, &format!("{others}{authority}"))?;
        Ok(self.listener)
    }

    /// At once: nobody inside reads half of it.
    fn write(&self, inside: &str, text: &str) -> io::Result<()> {
        let name = Path::new(inside).file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let (new, path) = (self.folder.join("new"), self.folder.join(name));
        fs::write(&new, text)?;
        // The sandbox's user is nobody that the host knows.
        fs::set_permissions(&new, Permissions::from_mode(0o644))?;
        fs::rename(new, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sandbox_that_is_told_anew_has_the_new_authority_only() {
        let folder = std::env::temp_dir().join(format!("pinfold-trust-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        for authority in ["one\n", "two\n"] {
            let _former_life = fs::remove_file(folder.join("a.sock"));
            let listener = UnixListener::bind(folder.join("a.sock")).unwrap();
            TlsGate::new(listener, folder.clone()).publish(authority, "root\n").unwrap();
            let read = |name| fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(read("ca.pem"), authority);
            assert_eq!(read("bundle.pem"), format!("root\n{authority}"));
            assert!(!folder.join("new").exists());
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
