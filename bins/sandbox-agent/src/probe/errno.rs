//! The names of errors: a reader of the report knows EPERM, and numbers differ by architecture.

/// The error's name, or its number where the table has none.
pub(super) fn name(errno: i32) -> String {
    NAMES
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

/// "ok", or the name of the error that stands in the way.
pub(super) fn outcome<T>(result: Result<T, rustix::io::Errno>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(errno) => name(errno.raw_os_error()),
    }
}

macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

#[rustfmt::skip]
const NAMES: &[(i32, &str)] = names![
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOPKG EOVERFLOW EUSERS ENOTSOCK EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT
    EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE ENETDOWN ENETUNREACH ETIMEDOUT ECONNREFUSED
    ESTALE EDQUOT ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_have_names_and_others_their_number() {
        assert_eq!(name(libc::EPERM), "EPERM");
        assert_eq!(name(4000), "errno 4000");
    }
}
