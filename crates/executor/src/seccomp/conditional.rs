//! The calls that are allowed for some of their arguments.

use super::rule::{Arg, Rule};

/// `CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}`.
const NAMESPACES: u64 = 0x7e02_0000;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;

const NETLINK_ROUTE: u32 = 0;

const SOCK_STREAM: u64 = 1;
const SOCK_DGRAM: u64 = 2;
/// The rest of the argument are flags such as `SOCK_CLOEXEC`.
const SOCK_TYPE: u64 = 0xf;

const ANY: u32 = 0;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;

/// Pushes a byte into a terminal's input, as if its user had typed it.
const TIOCSTI: u32 = 0x5412;
/// The console's selection buffer: the same trick by paste.
const TIOCLINUX: u32 = 0x541c;

const S_IFMT: u64 = 0xf000;
/// No type (a regular file), FIFO, regular file, socket.
const PLAIN_NODES: [u64; 4] = [0, 0x1000, 0x8000, 0xc000];

/// `PER_LINUX`, `PER_LINUX32`, each with and without `UNAME26`, and the question what is set.
const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

pub(super) fn rules() -> Vec<Rule> {
    let mut rules = vec![clone(), socketpair()];
    rules.extend(socket());
    rules.extend(ioctl());
    rules.extend(PLAIN_NODES.into_iter().flat_map(mknod));
    rules.extend(PERSONALITIES.map(personality));
    rules
}

fn clone() -> Rule {
    Rule::allow(
        &["clone"],
        "Processes and threads, in the namespaces that the sandbox has: a new user namespace \
         would bring capabilities back.",
    )
    .when([Arg::masked(0, NAMESPACES, 0)])
}

fn socketpair() -> Rule {
    Rule::allow(
        &["socketpair"],
        "Pipes in both directions; no other family has pairs worth their code.",
    )
    .when([Arg::int(0, AF_UNIX)])
}

fn socket() -> Vec<Rule> {
    let internet = |family, kind, protocol| {
        Rule::allow(
            &["socket"],
            "TCP, UDP and ping. Another type or protocol (SCTP, MPTCP, L2TP) would load and reach \
             a module that no job needs.",
        )
        .when([
            Arg::int(0, family),
            Arg::masked(1, SOCK_TYPE, kind),
            Arg::int(2, protocol),
        ])
    };
    let mut rules = vec![
        Rule::allow(&["socket"], "Local sockets.").when([Arg::int(0, AF_UNIX)]),
        Rule::allow(
            &["socket"],
            "Asking which interfaces and addresses there are, as every resolver does. Netlink's \
             other protocols (XFRM, netfilter, audit, crypto) are not for a sandbox.",
        )
        .when([Arg::int(0, AF_NETLINK), Arg::int(2, NETLINK_ROUTE)]),
    ];
    for (family, ping) in [(AF_INET, ICMP), (AF_INET6, ICMPV6)] {
        rules.extend([ANY, TCP].map(|protocol| internet(family, SOCK_STREAM, protocol)));
        rules.extend([ANY, UDP, ping].map(|protocol| internet(family, SOCK_DGRAM, protocol)));
    }
    rules
}

fn ioctl() -> impl Iterator<Item = Rule> {
    all_but(1, &[TIOCSTI, TIOCLINUX]).into_iter().map(|arg| {
        Rule::allow(
            &["ioctl"],
            "Terminals, FIONREAD and the like: all but the two requests that type into a terminal.",
        )
        .when([arg])
    })
}

fn mknod(kind: u64) -> [Rule; 2] {
    const WHY: &str = "FIFOs, sockets and plain files. Never a device.";
    [
        Rule::allow(&["mknod"], WHY).when([Arg::masked(1, S_IFMT, kind)]),
        Rule::allow(&["mknodat"], WHY).when([Arg::masked(2, S_IFMT, kind)]),
    ]
}

fn personality(value: u32) -> Rule {
    Rule::allow(
        &["personality"],
        "What uname answers. Nothing that switches off the randomisation of addresses or makes \
         data executable.",
    )
    .when([Arg::int(0, value)])
}

/// The `int`s that are none of `refused`, as the prefixes that lead to none of them.
///
/// The format has no "all but" that is safe: one comparison for inequality looks at the whole
/// register, and two on one argument are alternatives, so together they let everything through.
fn all_but(index: u8, refused: &[u32]) -> Vec<Arg> {
    let mut prefixes = Vec::new();
    for bit in (0..u32::BITS).rev() {
        let mask = u32::MAX << bit;
        for value in refused {
            let sibling = (value ^ (1 << bit)) & mask;
            let prefix = Arg::masked(index, mask.into(), sibling.into());
            if refused.iter().all(|value| value & mask != sibling) && !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
    }
    prefixes
}
