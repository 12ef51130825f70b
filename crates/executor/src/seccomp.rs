//! Our own seccomp profile: an allow-list of system calls, stricter than Podman's.
//!
//! The kernel is shared, so what a sandbox can't call is kernel code that it can't attack. What is
//! not named here is refused with EPERM. The architecture map names no 32-bit ABI, so its calls
//! don't pass at all. Three calls are allowed by their arguments only: sockets by family, clones
//! without namespaces, terminals without the two requests that type into them.

mod calls;

use serde::Serialize;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// All bits of `CLONE_NEW*` that `clone` takes: a new namespace is a new way to root inside it.
const NAMESPACE_FLAGS: u64 = 0x7E02_0000;

/// The kernel reads these arguments as 32-bit integers; bits above must not hide a value from us.
const INT: u64 = 0xFFFF_FFFF;

/// The families that a sandbox may open: local ones, and loopback. AF_ALG, AF_PACKET, AF_VSOCK,
/// AF_RXRPC, AF_KEY, TIPC, CAN and all others are out: their code has been the way in before.
const FAMILIES: [u64; 3] = [AF_UNIX, 2, 10];
const AF_UNIX: u64 = 1;
/// Netlink for routes only, which `getaddrinfo` and friends ask for interfaces.
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;

/// Terminal requests that put characters into somebody else's input: TIOCSTI and TIOCLINUX.
const TYPING: [u64; 2] = [0x5412, 0x541C];
/// What the two have in common above their last four bits.
const TYPING_PREFIX: u64 = 0x5410;

/// Personalities that programs really ask for: Linux, and "which one have I".
const PERSONALITIES: [u64; 2] = [0, 0xFFFF_FFFF];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    default_action: &'static str,
    default_errno_ret: u32,
    arch_map: Vec<Architecture>,
    syscalls: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: &'static str,
    sub_architectures: [&'static str; 0],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    args: Vec<Argument>,
    comment: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    value_two: u64,
    op: &'static str,
}

pub(crate) fn profile() -> Profile {
    let architecture = |architecture| Architecture { architecture, sub_architectures: [] };
    let mut syscalls: Vec<Rule> =
        calls::ALLOWED.iter().map(|group| allow(group.names, Vec::new(), group.why)).collect();
    for family in FAMILIES {
        syscalls.push(allow(&["socket"], vec![equal(0, family)], "local sockets and loopback"));
    }
    let route = vec![equal(0, AF_NETLINK), equal(2, NETLINK_ROUTE)];
    syscalls.push(allow(&["socket"], route, "interfaces and routes, to look at"));
    syscalls.push(allow(&["socketpair"], vec![equal(0, AF_UNIX)], "pipes in both directions"));
    let no_namespace =
        vec![Argument { index: 0, value: NAMESPACE_FLAGS, value_two: 0, op: "SCMP_CMP_MASKED_EQ" }];
    syscalls.push(allow(&["clone"], no_namespace, "processes and threads, without namespaces"));
    syscalls.push(Rule {
        names: vec!["clone3"],
        action: "SCMP_ACT_ERRNO",
        errno_ret: Some(ENOSYS),
        args: Vec::new(),
        comment: "its flags lie in memory, out of a filter's sight; libraries fall back to clone",
    });
    for request in requests_but_typing() {
        syscalls.push(allow(&["ioctl"], vec![request], "devices, but not typing into terminals"));
    }
    for personality in PERSONALITIES {
        let asked = vec![equal(0, personality)];
        syscalls.push(allow(&["personality"], asked, "asking for the ordinary one"));
    }
    syscalls.push(Rule {
        names: vec!["sync"],
        action: "SCMP_ACT_ERRNO",
        errno_ret: Some(0),
        args: Vec::new(),
        comment: "would flush the disks of the whole host; a sandbox has none, so it is done",
    });
    Profile {
        default_action: "SCMP_ACT_ERRNO",
        default_errno_ret: EPERM,
        arch_map: vec![architecture("SCMP_ARCH_X86_64"), architecture("SCMP_ARCH_AARCH64")],
        syscalls,
    }
}

fn allow(names: &[&'static str], args: Vec<Argument>, comment: &'static str) -> Rule {
    let names = names.to_vec();
    Rule { names, action: "SCMP_ACT_ALLOW", errno_ret: None, args, comment }
}

fn equal(index: u32, value: u64) -> Argument {
    Argument { index, value: INT, value_two: value, op: "SCMP_CMP_MASKED_EQ" }
}

/// Every 32-bit request but the two, as conditions of which one must hold.
///
/// "Not equal" twice would be an or to the runtime, and would see 64 bits where the kernel sees 32.
/// So the rest is named: whatever differs from the common prefix in one of its bits, and within the
/// prefix each other value of the last four.
fn requests_but_typing() -> impl Iterator<Item = Argument> {
    let other_prefixes = (4..32).map(|bit| {
        let mask = INT & !((1 << bit) - 1);
        let value = (TYPING_PREFIX ^ (1 << bit)) & mask;
        Argument { index: 1, value: mask, value_two: value, op: "SCMP_CMP_MASKED_EQ" }
    });
    let same_prefix =
        (TYPING_PREFIX..TYPING_PREFIX + 16).filter(|request| !TYPING.contains(request));
    other_prefixes.chain(same_prefix.map(|request| equal(1, request)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn allowed_without_arguments() -> BTreeSet<&'static str> {
        let rules = profile().syscalls;
        let plain = rules
            .into_iter()
            .filter(|rule| rule.action == "SCMP_ACT_ALLOW" && rule.args.is_empty());
        plain.flat_map(|rule| rule.names).collect()
    }

    #[test]
    fn what_is_not_named_is_refused() {
        assert_eq!(profile().default_action, "SCMP_ACT_ERRNO");
        assert!(profile().arch_map.iter().all(|arch| arch.sub_architectures.is_empty()));
    }

    #[test]
    fn the_floors_forbidden_calls_are_not_allowed() {
        let allowed = allowed_without_arguments();
        for name in calls::FORBIDDEN {
            assert!(!allowed.contains(name), "{name}");
        }
    }

    #[test]
    fn every_request_but_the_two_that_type_is_let_through() {
        let passes = |request: u64| {
            requests_but_typing().any(|argument| request & argument.value == argument.value_two)
        };
        for typing in TYPING {
            assert!(!passes(typing) && !passes(typing | 1 << 40), "{typing:#x}");
        }
        for other in [0, 0x5401, 0x5411, 0x5413, 0x541B, 0x541D, 0x5421, 0x8004_5430, u64::MAX] {
            assert!(passes(other), "{other:#x}");
        }
    }

    #[test]
    fn no_call_is_named_twice() {
        let mut seen = BTreeSet::new();
        for name in calls::ALLOWED.iter().flat_map(|group| group.names) {
            assert!(seen.insert(name), "{name}");
        }
        for name in ["socket", "socketpair", "clone", "clone3", "ioctl", "personality", "sync"] {
            assert!(!seen.contains(&name), "{name} is decided by its arguments");
        }
    }

    #[test]
    fn every_rule_says_why() {
        assert!(profile().syscalls.iter().all(|rule| !rule.comment.is_empty()));
    }
}
