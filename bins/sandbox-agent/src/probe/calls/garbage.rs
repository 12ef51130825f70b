//! Calls with arguments that the kernel turns down before it asks who calls: a look at the filter
//! alone. Calls whose first act is the permission check can't be told apart and aren't here.

use super::Attempt;
use super::argument::Argument::{BadPointer, Number, Text};
use super::argument::NOWHERE;

/// No call takes these bits, that operation, this descriptor or this process.
const BITS: usize = 0x4000_0000;
const OPERATION: usize = 0x7FFF_0000;
const NO_FD: usize = usize::MAX;
const NO_PID: usize = 0x7FFF_FFFF;

pub(super) const ATTEMPTS: &[Attempt] = &[
    // A flag that only `clone` takes: the vfork bit.
    ("unshare", libc::SYS_unshare, &[Number(libc::CLONE_VFORK as usize)]),
    // A new user namespace that shares its filesystem's root: contradicts itself.
    ("clone", libc::SYS_clone, &[Number((libc::CLONE_NEWUSER | libc::CLONE_FS) as usize)]),
    ("clone3", libc::SYS_clone3, &[BadPointer, Number(64)]),
    ("setns", libc::SYS_setns, &[Number(NO_FD), Number(0)]),
    ("mount", libc::SYS_mount, &[BadPointer, BadPointer, BadPointer]),
    ("umount2", libc::SYS_umount2, &[Text(c"/"), Number(BITS)]),
    ("chroot", libc::SYS_chroot, &[Text(NOWHERE)]),
    ("open_tree", libc::SYS_open_tree, &[Number(NO_FD), Text(c"/"), Number(BITS)]),
    ("mount_setattr", libc::SYS_mount_setattr, &[Number(NO_FD), Text(c"/"), Number(BITS)]),
    ("ptrace", libc::SYS_ptrace, &[Number(OPERATION), Number(NO_PID)]),
    (
        "process_vm_readv",
        libc::SYS_process_vm_readv,
        &[Number(NO_PID), Number(0), Number(0), Number(0), Number(0), Number(1)],
    ),
    ("bpf", libc::SYS_bpf, &[Number(0), BadPointer, Number(1 << 20)]),
    (
        "perf_event_open",
        libc::SYS_perf_event_open,
        &[BadPointer, Number(0), Number(NO_FD), Number(NO_FD), Number(BITS)],
    ),
    ("keyctl", libc::SYS_keyctl, &[Number(OPERATION)]),
    ("add_key", libc::SYS_add_key, &[BadPointer, BadPointer, BadPointer, Number(1)]),
    ("request_key", libc::SYS_request_key, &[BadPointer, BadPointer]),
    ("swapon", libc::SYS_swapon, &[Text(NOWHERE), Number(BITS)]),
    ("settimeofday", libc::SYS_settimeofday, &[BadPointer]),
];
