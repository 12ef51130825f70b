//! Calls as an attacker would want them, each without an effect beyond the child that makes it:
//! what changes only the caller is really done; what would change the host is aimed at nothing, so
//! that it fails behind the permission check (ENOENT, EINVAL, …) where it would be permitted.

use super::Attempt;
use super::argument::Argument::{Number, Open, OwnPid, Scratch, Text, Words};
use super::argument::NOWHERE;

const AT_FDCWD: usize = libc::AT_FDCWD as usize;
const NO_FD: usize = usize::MAX;
const SIGCHLD: usize = libc::SIGCHLD as usize;
const NEW_USER: usize = libc::CLONE_NEWUSER as usize;

/// `clone_args` of version 0: the exit signal is its fifth word.
const CLONE_ARGS: &[u64] = &[0, 0, 0, 0, SIGCHLD as u64, 0, 0, 0];
const CLONE_ARGS_BYTES: usize = 64;
/// An array map (2) of one entry with keys and values of 4 bytes; four 32-bit fields.
const BPF_MAP: &[u64] = &[2 | 4 << 32, 4 | 1 << 32, 0, 0, 0, 0, 0, 0, 0];
const BPF_MAP_BYTES: usize = 72;
/// A software event (1) of version 0, 64 bytes long, disabled, without kernel and hypervisor.
const PERF_EVENT: &[u64] = &[1 | 64 << 32, 0, 0, 0, 0, 0b110_0001, 0, 0];
/// A file handle of 8 bytes and type 1 that names no file.
const FILE_HANDLE: &[u64] = &[8 | 1 << 32, u64::MAX];
const USER_MODE_ONLY: usize = 1;
const SESSION_KEYRING: usize = -3_isize as usize;
const PROCESS_KEYRING: usize = -2_isize as usize;
const OPEN_TREE_CLONE: usize = 1;
const MOUNT_ATTR_BYTES: usize = 32;
/// Neither a flag nor an architecture, and more segments than there may be: refused twice.
const KEXEC_FLAGS: usize = 0x8000;
const KEXEC_SEGMENTS: usize = 1 << 20;
/// `Q_GETINFO` for users.
const QUOTA_INFO: usize = 0x8000_0500;
const SYSLOG_SIZE: usize = 10;
const NOT_MAGIC: usize = 0xDEAD;
const ADDR_NO_RANDOMIZE: usize = 0x0004_0000;

pub(super) const ATTEMPTS: &[Attempt] = &[
    // New namespaces: a new one is a new way to be root in it.
    ("unshare user", libc::SYS_unshare, &[Number(NEW_USER)]),
    ("unshare mount", libc::SYS_unshare, &[Number(libc::CLONE_NEWNS as usize)]),
    ("clone user", libc::SYS_clone, &[Number(NEW_USER | SIGCHLD)]),
    ("clone3", libc::SYS_clone3, &[Words(CLONE_ARGS), Number(CLONE_ARGS_BYTES)]),
    ("setns", libc::SYS_setns, &[Open(c"/proc/self/ns/uts"), Number(0)]),
    // Mounts. A type of filesystem that isn't one, and a folder that isn't a mount.
    ("mount", libc::SYS_mount, &[Text(c"none"), Text(c"/"), Text(c"nothing"), Number(0)]),
    ("umount2", libc::SYS_umount2, &[Text(c"/proc/self"), Number(0)]),
    ("pivot_root", libc::SYS_pivot_root, &[Text(NOWHERE), Text(NOWHERE)]),
    ("chroot", libc::SYS_chroot, &[Text(c"/")]),
    ("fsopen", libc::SYS_fsopen, &[Text(c"tmpfs"), Number(0)]),
    ("open_tree", libc::SYS_open_tree, &[Number(AT_FDCWD), Text(c"/"), Number(OPEN_TREE_CLONE)]),
    ("move_mount", libc::SYS_move_mount, &[Number(NO_FD), Text(c""), Number(NO_FD), Text(c"")]),
    (
        "mount_setattr",
        libc::SYS_mount_setattr,
        &[Number(AT_FDCWD), Text(c"/"), Number(0), Scratch, Number(MOUNT_ATTR_BYTES)],
    ),
    (
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        &[Number(AT_FDCWD), Words(FILE_HANDLE), Number(0)],
    ),
    // Other processes.
    ("ptrace", libc::SYS_ptrace, &[Number(libc::PTRACE_TRACEME as usize)]),
    ("process_vm_readv", libc::SYS_process_vm_readv, &[OwnPid]),
    // Large and young parts of the kernel.
    ("bpf", libc::SYS_bpf, &[Number(0), Words(BPF_MAP), Number(BPF_MAP_BYTES)]),
    (
        "perf_event_open",
        libc::SYS_perf_event_open,
        &[Words(PERF_EVENT), Number(0), Number(NO_FD), Number(NO_FD)],
    ),
    ("userfaultfd", libc::SYS_userfaultfd, &[Number(USER_MODE_ONLY)]),
    ("io_uring_setup", libc::SYS_io_uring_setup, &[Number(1), Scratch]),
    // Keys: of the child's own keyrings.
    ("keyctl", libc::SYS_keyctl, &[Number(0), Number(SESSION_KEYRING)]),
    (
        "add_key",
        libc::SYS_add_key,
        &[
            Text(c"user"),
            Text(c"sandbox-agent-probe"),
            Text(c"x"),
            Number(1),
            Number(PROCESS_KEYRING),
        ],
    ),
    ("request_key", libc::SYS_request_key, &[Text(c"user"), Text(c"sandbox-agent-probe")]),
    // The host as a whole: nothing to load, to unload, to swap on or to account to.
    (
        "kexec_load",
        libc::SYS_kexec_load,
        &[Number(0), Number(KEXEC_SEGMENTS), Number(0), Number(KEXEC_FLAGS)],
    ),
    ("init_module", libc::SYS_init_module, &[Number(0), Number(0), Text(c"")]),
    ("finit_module", libc::SYS_finit_module, &[Number(NO_FD), Text(c"")]),
    (
        "delete_module",
        libc::SYS_delete_module,
        &[Text(c"sandbox_agent_probe"), Number(libc::O_NONBLOCK as usize)],
    ),
    ("quotactl", libc::SYS_quotactl, &[Number(QUOTA_INFO), Number(0), Number(0), Scratch]),
    ("swapon", libc::SYS_swapon, &[Text(NOWHERE)]),
    ("acct", libc::SYS_acct, &[Text(NOWHERE)]),
    ("reboot", libc::SYS_reboot, &[Number(NOT_MAGIC), Number(NOT_MAGIC)]),
    ("settimeofday", libc::SYS_settimeofday, &[]),
    ("syslog", libc::SYS_syslog, &[Number(SYSLOG_SIZE)]),
    // The child's own.
    ("personality", libc::SYS_personality, &[Number(ADDR_NO_RANDOMIZE)]),
    ("setuid", libc::SYS_setuid, &[Number(0)]),
    ("setgid", libc::SYS_setgid, &[Number(0)]),
];
