//! From a path to what is there, with no link on the way, and what the kernel's refusals mean.

use contracts::{
    file::check_path,
    link::files::{FileDone, FileFault, FileKind, FileLimit, FileStat, MODE_BITS},
};
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, fstat, mkdirat, openat2,
        renameat, renameat_with, statat,
    },
    io::Errno,
    path::Arg,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

pub(super) fn root(path: &Path) -> Result<OwnedFd, FileFault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(fault)
}

/// Opens beneath a folder, by any number of real folders and no link.
pub(super) fn open(at: impl AsFd, path: impl Arg, flags: OFlags) -> Result<OwnedFd, FileFault> {
    create(at, path, flags, Mode::empty())
}

pub(super) fn create(
    at: impl AsFd,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, FileFault> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(at, path, flags | OFlags::CLOEXEC, mode, resolve).map_err(fault)
}

/// The folder that holds what the path names, and its name there.
pub(super) fn locate<'a>(root: &OwnedFd, path: &'a str) -> Result<(OwnedFd, &'a str), FileFault> {
    check_path(path).map_err(|_| FileFault::Link)?;
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    Ok((open(root, folder, OFlags::PATH | OFlags::DIRECTORY)?, name))
}

/// The same, with the folders made that are not there.
pub(super) fn locate_making_folders<'a>(
    root: &OwnedFd,
    path: &'a str,
) -> Result<(OwnedFd, &'a str), FileFault> {
    check_path(path).map_err(|_| FileFault::Link)?;
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut folder = open(root, ".", OFlags::PATH | OFlags::DIRECTORY)?;
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(fault(errno)),
        }
        folder = open(&folder, part, OFlags::PATH | OFlags::DIRECTORY)?;
    }
    Ok((folder, name))
}

/// A regular file for reading, whatever a program puts in its place while we look.
pub(super) fn open_file(root: &OwnedFd, path: &str) -> Result<OwnedFd, FileFault> {
    if path.is_empty() {
        return Err(FileFault::IsFolder);
    }
    check_path(path).map_err(|_| FileFault::Link)?;
    // Non-blocking: neither a pipe that nobody writes to nor a lease that a program holds stops us.
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let stat = fstat(&file).map_err(fault)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(FileFault::IsFolder),
        _ => Err(FileFault::NotAFile),
    }
}

pub(super) fn stat(root: &OwnedFd, path: &str) -> Result<FileStat, FileFault> {
    if path.is_empty() {
        return Ok(described(&fstat(root).map_err(fault)?));
    }
    let (folder, name) = locate(root, path)?;
    Ok(described(&stat_at(&folder, name)?))
}

pub(super) fn stat_at(folder: impl AsFd, name: &str) -> Result<Stat, FileFault> {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fault)
}

pub(super) fn described(stat: &Stat) -> FileStat {
    let nanoseconds =
        |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    let modified_ns = nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64);
    let mut version = DefaultHasher::new();
    let changed = nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64);
    (stat.st_ino, modified_ns, changed, stat.st_size).hash(&mut version);
    FileStat {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Folder,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        },
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & MODE_BITS,
        modified_ns,
        version: version.finish(),
    }
}

/// Gives a thing another name. What is there gives way only when it is asked to.
pub(super) fn move_to(
    root: &OwnedFd,
    from: &str,
    to: &str,
    replace: bool,
) -> Result<FileDone, FileFault> {
    let (old_folder, old_name) = locate(root, from)?;
    // Before any folder is made for it.
    stat_at(&old_folder, old_name)?;
    let (folder, name) = locate_making_folders(root, to)?;
    match renameat_with(&old_folder, old_name, &folder, name, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(FileDone::Created),
        Err(Errno::EXIST) if replace => {
            renameat(&old_folder, old_name, &folder, name).map_err(fault)?;
            Ok(FileDone::Changed)
        }
        // A folder into itself.
        Err(Errno::INVAL) => Err(FileFault::Exists),
        Err(errno) => Err(fault(errno)),
    }
}

pub(super) fn fault(errno: Errno) -> FileFault {
    match errno {
        Errno::NOENT => FileFault::NotFound,
        Errno::NOTDIR => FileFault::NotAFolder,
        Errno::ISDIR => FileFault::IsFolder,
        Errno::LOOP | Errno::XDEV => FileFault::Link,
        Errno::NXIO | Errno::NODEV => FileFault::NotAFile,
        Errno::EXIST => FileFault::Exists,
        Errno::NOTEMPTY => FileFault::NotEmpty,
        Errno::ACCESS | Errno::PERM => FileFault::Denied,
        Errno::AGAIN | Errno::BUSY | Errno::TXTBSY => FileFault::Busy,
        Errno::NOSPC | Errno::DQUOT => FileFault::NoSpace,
        Errno::FBIG => FileFault::TooLarge(FileLimit::FileSize),
        Errno::MFILE | Errno::NFILE => FileFault::TooMany,
        other => FileFault::Other { errno: other.raw_os_error() },
    }
}
