//! Which system calls a sandbox may make: an allow-list, stricter than Podman's own profile.
//!
//! ```text
//!   unconditional  what ordinary programs call, whatever the arguments
//!   conditional    clone, socket, socketpair, ioctl, mknod, personality: by argument
//!   answered       calls that get another answer than a refusal, so that programs cope
//!   all others     EPERM
//! ```
//!
//! Only the native ABI of each machine is named. A call by another one (32-bit, x32) kills its
//! caller, because the same number means another call there.

mod conditional;
mod rule;
mod unconditional;

#[cfg(test)]
mod tests;

use rule::{Action, EPERM, Profile, Rule};

/// The profile, in the format that Podman reads from `seccomp_profile_path`.
pub(crate) fn profile() -> Profile {
    let mut syscalls = unconditional::rules();
    syscalls.extend(conditional::rules());
    syscalls.extend(answered());
    Profile::refusing(EPERM, syscalls)
}

/// Calls that a sandbox doesn't get, and whose callers need another answer than EPERM.
fn answered() -> [Rule; 2] {
    [
        Rule::new(
            Action::Errno(rule::ENOSYS),
            &["clone3"],
            "Its flags lie in memory, which a filter can't read. Told that the call is missing, \
             every C library falls back to clone, whose flags can be read.",
        ),
        Rule::new(
            Action::Errno(rule::SUCCESS),
            &["sync", "syncfs"],
            "They write back a whole file system of the host, and every other tenant waits. All \
             that a sandbox can write is tmpfs, for which there is nothing to do: success is the \
             truth. fsync, which is about one file, is allowed.",
        ),
    ]
}
