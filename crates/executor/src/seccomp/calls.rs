//! The calls that ordinary programs need, grouped by what for; and, for the tests, those that no
//! sandbox may ever get.

pub(super) struct Group {
    pub(super) why: &'static str,
    pub(super) names: &'static [&'static str],
}

#[rustfmt::skip]
pub(super) const ALLOWED: [Group; 12] = [
    Group { why: "reading and writing", names: &[
        "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
        "pwritev2", "lseek", "sendfile", "splice", "tee", "vmsplice", "copy_file_range", "readahead",
        "fadvise64", "close", "close_range", "dup", "dup2", "dup3", "pipe", "pipe2", "fcntl", "flock",
        "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate", "truncate", "fallocate",
    ]},
    Group { why: "names and folders", names: &[
        "open", "openat", "openat2", "creat", "access", "faccessat", "faccessat2", "stat", "fstat",
        "lstat", "newfstatat", "statx", "statfs", "fstatfs", "getdents", "getdents64", "getcwd",
        "chdir", "fchdir", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat",
        "renameat2", "link", "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "chmod",
        "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "umask", "utime",
        "utimes", "utimensat", "futimesat", "mknod", "mknodat",
    ]},
    Group { why: "attributes of files", names: &[
        "getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "listxattr",
        "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr",
    ]},
    Group { why: "memory", names: &[
        "brk", "mmap", "munmap", "mremap", "mprotect", "msync", "madvise", "mincore", "mlock",
        "mlock2", "munlock", "mlockall", "munlockall", "memfd_create", "pkey_alloc", "pkey_free",
        "pkey_mprotect", "membarrier", "get_mempolicy", "remap_file_pages", "map_shadow_stack", "mseal",
    ]},
    Group { why: "processes", names: &[
        "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "kill",
        "tkill", "tgkill", "getpid", "getppid", "gettid", "setpgid", "getpgid", "getpgrp", "setsid",
        "getsid", "prctl", "arch_prctl", "set_tid_address", "set_robust_list", "get_robust_list",
        "rseq", "pidfd_open", "pidfd_send_signal", "seccomp", "landlock_create_ruleset",
        "landlock_add_rule", "landlock_restrict_self", "restart_syscall", "getcpu",
    ]},
    Group { why: "scheduling and limits, of one's own", names: &[
        "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
        "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max", "sched_getattr",
        "sched_setattr", "sched_get_priority_min", "sched_rr_get_interval", "getpriority",
        "setpriority", "ioprio_get", "ioprio_set", "getrlimit", "setrlimit", "prlimit64", "getrusage",
        "times", "sysinfo", "uname",
    ]},
    Group { why: "users; without capabilities they only go down", names: &[
        "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid",
        "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid",
        "setfsgid", "capget", "capset",
    ]},
    Group { why: "signals", names: &[
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend",
        "rt_sigtimedwait", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaltstack", "pause",
        "signalfd", "signalfd4",
    ]},
    Group { why: "waiting, and waking each other", names: &[
        "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
        "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "inotify_init",
        "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "futex", "futex_waitv",
        "futex_wake", "futex_wait", "futex_requeue", "io_setup", "io_destroy", "io_submit",
        "io_cancel", "io_getevents", "io_pgetevents",
    ]},
    Group { why: "time", names: &[
        "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
        "alarm", "getitimer", "setitimer", "timer_create", "timer_settime", "timer_gettime",
        "timer_getoverrun", "timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime",
        "getrandom",
    ]},
    Group { why: "sockets that were let through by their family", names: &[
        "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname", "getpeername",
        "getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
    ]},
    Group { why: "shared memory and queues of the sandbox's own namespace", names: &[
        "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget",
        "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
        "mq_notify", "mq_getsetattr",
    ]},
];

#[cfg(test)]
#[rustfmt::skip]
pub(super) const FORBIDDEN: [&str; 71] = [
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "keyctl", "add_key", "request_key", "mount", "umount", "umount2", "fsopen", "fsconfig", "fsmount",
    "fspick", "open_tree", "move_mount", "mount_setattr", "statmount", "listmount", "pivot_root",
    "chroot", "setns", "unshare", "clone3", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "quotactl", "quotactl_fd", "swapon", "swapoff", "acct",
    "open_by_handle_at", "name_to_handle_at", "reboot", "settimeofday", "clock_settime",
    "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "syslog", "iopl", "ioperm",
    "vhangup", "lookup_dcookie", "nfsservctl", "modify_ldt", "uselib", "ustat", "sysfs", "mbind",
    "set_mempolicy", "migrate_pages", "move_pages", "fanotify_init", "socketcall", "vm86", "vm86old",
    "memfd_secret", "process_mrelease",
];
