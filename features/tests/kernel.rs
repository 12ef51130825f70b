//! A kernel without Landlock, for one process and its children: a filter answers as such a kernel does.

use std::io;
use tokio::process::Command;

/// The call by which a process asks whether there is Landlock; the others need what it returns.
const FIRST_CALL: u32 = libc::SYS_landlock_create_ruleset as u32;

pub(crate) fn without_landlock(program: &mut Command) {
    let answer = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        // The call's number is the first word of what a filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, FIRST_CALL),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, answer),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: between fork and exec, two system calls on memory that this closure owns.
    unsafe {
        program.pre_exec(move || {
            let filter =
                libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) == 0;
            if set { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
}
