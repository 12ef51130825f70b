//! The calls that are allowed whatever their arguments, grouped by what programs need them for.

use super::rule::Rule;

struct Group {
    why: &'static str,
    names: &'static [&'static str],
}

pub(super) fn rules() -> Vec<Rule> {
    GROUPS.iter().map(|group| Rule::allow(group.names, group.why)).collect()
}

#[rustfmt::skip]
const GROUPS: &[Group] = &[
    Group {
        why: "Reading and writing what is open. Not vmsplice: it lends pages to a pipe, which \
              exploits need and programs can do without.",
        names: &[
            "close", "close_range", "copy_file_range", "dup", "dup2", "dup3", "fadvise64",
            "fallocate", "fcntl", "fdatasync", "flock", "fsync", "ftruncate", "lseek", "pread64",
            "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readv",
            "sendfile", "splice", "sync_file_range", "tee", "write", "writev",
        ],
    },
    Group {
        why: "Finding, opening and making files. Not by handle: that goes around the path, and \
              so around the mounts.",
        names: &[
            "access", "chdir", "creat", "faccessat", "faccessat2", "fchdir", "fstat", "fstatfs",
            "getcwd", "getdents", "getdents64", "link", "linkat", "lstat", "mkdir", "mkdirat",
            "newfstatat", "open", "openat", "openat2", "readlink", "readlinkat", "rename",
            "renameat", "renameat2", "rmdir", "stat", "statfs", "statx", "symlink", "symlinkat",
            "truncate", "umask", "unlink", "unlinkat",
        ],
    },
    Group {
        why: "Owners, modes, times and attributes of files: the kernel's own checks hold, and \
              there is no capability to pass them.",
        names: &[
            "chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat",
            "fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "futimesat", "getxattr",
            "getxattrat", "lchown", "lgetxattr", "listxattr", "listxattrat", "llistxattr",
            "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr",
            "setxattrat", "utime", "utimensat", "utimes",
        ],
    },
    Group {
        why: "Waiting for events and being told of changes. Not io_uring: its work is done where \
              no filter sees it. Not fanotify: it watches whole file systems.",
        names: &[
            "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
            "epoll_wait", "eventfd", "eventfd2", "inotify_add_watch", "inotify_init",
            "inotify_init1", "inotify_rm_watch", "pipe", "pipe2", "poll", "ppoll", "pselect6",
            "select", "signalfd", "signalfd4",
        ],
    },
    Group {
        why: "Memory, as allocators, loaders and just-in-time compilers use it. Not the NUMA \
              calls: they move pages about the host. Not userfaultfd: it stops the kernel midway.",
        names: &[
            "brk", "madvise", "map_shadow_stack", "memfd_create", "mincore", "mlock", "mlock2",
            "mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall",
            "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect",
        ],
    },
    Group {
        why: "Starting, naming, waiting for and ending processes.",
        names: &[
            "execve", "execveat", "exit", "exit_group", "fork", "getpgid", "getpgrp", "getpid",
            "getppid", "getsid", "gettid", "pidfd_open", "setpgid", "setsid", "vfork", "wait4",
            "waitid",
        ],
    },
    Group {
        why: "Threads and what their runtimes are built on.",
        names: &[
            "arch_prctl", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake",
            "get_robust_list", "membarrier", "prctl", "rseq", "set_robust_list",
            "set_tid_address",
        ],
    },
    Group {
        why: "Signals, to the sandbox's own processes: it sees no others.",
        names: &[
            "kill", "pause", "pidfd_send_signal", "restart_syscall", "rt_sigaction",
            "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
            "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "tgkill",
            "tkill",
        ],
    },
    Group {
        why: "Reading clocks, sleeping and timers. Setting a clock would set the host's.",
        names: &[
            "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer",
            "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
            "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create",
            "timerfd_gettime", "timerfd_settime", "times",
        ],
    },
    Group {
        why: "Sharing the processor and asking for one's limits, within the cgroup.",
        names: &[
            "getcpu", "getpriority", "getrlimit", "getrusage", "ioprio_get", "ioprio_set",
            "prlimit64", "sched_get_priority_max", "sched_get_priority_min",
            "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
            "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam",
            "sched_setscheduler", "sched_yield", "setpriority", "setrlimit",
        ],
    },
    Group {
        why: "Who one is. The container runtime sets ids and capabilities before it hands over; \
              after that there is nothing left to gain by them.",
        names: &[
            "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid",
            "getresuid", "getuid", "setfsgid", "setfsuid", "setgid", "setgroups", "setregid",
            "setresgid", "setresuid", "setreuid", "setuid",
        ],
    },
    Group {
        why: "Facts about the machine, and randomness.",
        names: &["getrandom", "sysinfo", "uname"],
    },
    Group {
        why: "Using a socket. Which ones can be made is decided by argument.",
        names: &[
            "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt",
            "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto",
            "setsockopt", "shutdown",
        ],
    },
    Group {
        why: "System V and POSIX message queues, semaphores and shared memory, in the sandbox's \
              own IPC namespace.",
        names: &[
            "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend",
            "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop",
            "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
        ],
    },
    Group {
        why: "Programs that shut themselves in further.",
        names: &[
            "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
        ],
    },
];
