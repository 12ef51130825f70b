//! The profile, asked as the kernel would ask it.

use super::{
    profile,
    rule::{Action, ENOSYS, Profile, Rule, SUCCESS},
};
use serde_json::json;
use std::{collections::HashSet, sync::LazyLock};

#[rustfmt::skip]
const FORBIDDEN: &[&str] = &[
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "bpf", "perf_event_open", "userfaultfd", "vmsplice", "memfd_secret",
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "keyctl", "add_key", "request_key",
    "mount", "umount", "umount2", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
    "open_tree_attr", "move_mount", "mount_setattr", "statmount", "listmount", "pivot_root",
    "chroot", "setns", "unshare", "name_to_handle_at", "open_by_handle_at",
    "fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd",
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "swapon", "swapoff", "acct", "reboot", "syslog", "vhangup", "sethostname", "setdomainname",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "iopl", "ioperm", "modify_ldt", "vm86", "vm86old",
    "mbind", "set_mempolicy", "get_mempolicy", "set_mempolicy_home_node", "migrate_pages",
    "move_pages", "lookup_dcookie", "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl",
];

/// What the call gets; `None` is the default, the refusal.
fn answer(name: &str, args: &[u64]) -> Option<Action> {
    static PROFILE: LazyLock<Profile> = LazyLock::new(profile);
    let holds = |rule: &&Rule| {
        rule.names.contains(&name)
            && rule.args.iter().all(|arg| {
                args.get(usize::from(arg.index)).is_some_and(|given| given & arg.mask == arg.value)
            })
    };
    PROFILE.syscalls.iter().find(holds).map(|rule| rule.action)
}

fn allowed(name: &str, args: &[u64]) -> bool {
    answer(name, args) == Some(Action::Allow)
}

#[test]
fn what_no_rule_answers_is_refused_with_eperm() {
    let profile = serde_json::to_value(profile()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["defaultErrnoRet"], 1);
}

#[test]
fn only_the_native_abi_is_open() {
    let profile = serde_json::to_value(profile()).unwrap();
    let native = json!([
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
    ]);
    assert_eq!(profile["archMap"], native);
}

#[test]
fn a_rule_is_written_as_the_runtimes_read_it() {
    let profile = serde_json::to_value(profile()).unwrap();
    let rules = profile["syscalls"].as_array().unwrap();
    let rule = |name| rules.iter().find(|rule| rule["names"][0] == name).unwrap();
    let namespaces =
        json!([{"index": 0, "value": 0x7e02_0000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]);
    assert_eq!(rule("clone")["args"], namespaces);
    assert_eq!(rule("clone")["action"], "SCMP_ACT_ALLOW");
    assert!(rule("clone").get("errnoRet").is_none());
    assert_eq!(rule("clone3")["action"], "SCMP_ACT_ERRNO");
    assert_eq!(rule("clone3")["errnoRet"], 38);
}

#[test]
fn no_rule_names_a_forbidden_call() {
    for rule in profile().syscalls {
        for name in rule.names {
            assert!(!FORBIDDEN.contains(name), "{name}");
        }
    }
}

#[test]
fn a_call_has_one_unconditional_rule_or_conditional_ones_of_one_action() {
    let profile = profile();
    let mut whole = HashSet::new();
    for name in profile.syscalls.iter().filter(|r| r.args.is_empty()).flat_map(|r| r.names) {
        assert!(whole.insert(name), "{name} is named twice");
    }
    for rule in profile.syscalls.iter().filter(|rule| !rule.args.is_empty()) {
        assert_eq!(rule.action, Action::Allow, "{:?}", rule.names);
        for name in rule.names {
            assert!(!whole.contains(name), "{name}'s condition is void");
        }
    }
}

#[test]
fn no_rule_looks_at_one_argument_twice() {
    for rule in profile().syscalls {
        let indices: HashSet<_> = rule.args.iter().map(|arg| arg.index).collect();
        assert_eq!(indices.len(), rule.args.len(), "{:?}", rule.names);
    }
}

#[test]
fn every_rule_says_why() {
    for rule in profile().syscalls {
        assert!(!rule.why.is_empty() && !rule.names.is_empty(), "{:?}", rule.names);
    }
}

#[test]
fn only_local_internet_and_route_sockets_can_be_made() {
    for family in 0..64 {
        let listed = [1, 2, 10, 16].contains(&family);
        for truncated in [0, 1 << 32] {
            assert_eq!(allowed("socket", &[family | truncated, 2, 0]), listed, "{family}");
            assert_eq!(allowed("socketpair", &[family | truncated, 2, 0]), family == 1);
        }
    }
    for protocol in 1..32 {
        assert!(!allowed("socket", &[16, 3, protocol]), "netlink {protocol}");
    }
}

#[test]
fn internet_sockets_are_tcp_udp_and_ping() {
    let flags = 0o2_004_000;
    assert!(allowed("socket", &[2, 1 | flags, 6]));
    assert!(allowed("socket", &[10, 2 | flags, 17]));
    assert!(allowed("socket", &[10, 2, 58]));
    let (sctp, mptcp, udplite) = (132, 262, 136);
    for refused in [[2, 1, sctp], [2, 5, 0], [10, 1, mptcp], [2, 2, udplite], [2, 3, 255]] {
        assert!(!allowed("socket", &refused), "{refused:?}");
    }
}

#[test]
fn every_ioctl_but_typing_into_a_terminal_is_allowed() {
    for request in
        (0..=0xfff).map(|low| 0x5000 | low).chain([0, 0x8000_5412, 0x1_5412, 0xffff_ffff])
    {
        let typing = [0x5412, 0x541c].contains(&request);
        for upper_half in [0, 1 << 32, 0xffff_ffff << 32] {
            assert_eq!(allowed("ioctl", &[0, request | upper_half]), !typing, "{request:#x}");
        }
    }
}

#[test]
fn a_clone_stays_in_its_namespaces() {
    let (fork, thread) = (0x0120_0011, 0x003d_0f00);
    assert!(allowed("clone", &[fork]) && allowed("clone", &[thread]));
    for bit in [17, 25, 26, 27, 28, 29, 30] {
        assert!(!allowed("clone", &[fork | 1 << bit]), "bit {bit}");
    }
    assert_eq!(answer("clone3", &[]), Some(Action::Errno(ENOSYS)));
}

#[test]
fn no_device_can_be_made() {
    for (kind, fine) in [(0x1000, true), (0x8000, true), (0x2000, false), (0x6000, false)] {
        assert_eq!(allowed("mknod", &[0, kind | 0o644, 0]), fine);
        assert_eq!(allowed("mknodat", &[0, 0, kind | 0o644, 0]), fine);
    }
}

#[test]
fn no_personality_weakens_the_memory_map() {
    let (no_randomisation, read_implies_exec) = (0x004_0000, 0x040_0000);
    assert!(allowed("personality", &[0]));
    assert!(!allowed("personality", &[no_randomisation]));
    assert!(!allowed("personality", &[read_implies_exec]));
}

#[test]
fn sync_does_nothing_and_says_so_kindly() {
    assert_eq!(answer("sync", &[]), Some(Action::Errno(SUCCESS)));
    assert_eq!(answer("syncfs", &[3]), Some(Action::Errno(SUCCESS)));
    assert!(allowed("fsync", &[3]));
}
