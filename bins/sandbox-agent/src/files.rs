//! Files in and out of the sandbox's folders, on the host's behalf.
//!
//! Code in the sandbox may have made links and swapped folders under us. It can only lead us where
//! it could go itself, since it has our user; still nothing leaves its root and no link is followed,
//! so that what the host gets is what lies beneath the folder that it named.

mod collect;
mod put;
mod session;

pub(crate) use collect::{Collection, Wanted};
pub(crate) use put::Puts;
pub(crate) use session::Calls;
pub use session::Unpack;

use contracts::link::FileError;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use std::os::fd::{AsFd, OwnedFd};

/// Opens beneath a folder, by any number of real folders and no link.
fn open_beneath(
    folder: impl AsFd,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, FileError> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(folder, path, flags | OFlags::CLOEXEC, mode, resolve).map_err(file_error)
}

fn file_error(errno: Errno) -> FileError {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => FileError::NotFound,
        Errno::LOOP | Errno::XDEV => FileError::Path,
        Errno::NOSPC | Errno::DQUOT => FileError::NoSpace,
        Errno::FBIG => FileError::TooLarge,
        other => FileError::Other { errno: other.raw_os_error() },
    }
}
