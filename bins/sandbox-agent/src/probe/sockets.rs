//! Which families of sockets can be had: each one is kernel code that a sandbox reaches.

use super::{Section, child, errno, fact};
use serde_json::{Map, Value};
use std::os::fd::{FromRawFd, OwnedFd};

const NETLINK_AUDIT: i32 = 9;
const NETLINK_XFRM: i32 = 6;
const NETLINK_NETFILTER: i32 = 12;
const NETLINK_GENERIC: i32 = 16;
const AF_RXRPC: i32 = 33;
const AF_KEY_V2: i32 = 2;

/// Name, family, type and protocol. The type is one that the family takes: a wrong one would be
/// refused by a family that is there.
const FAMILIES: &[(&str, i32, i32, i32)] = &[
    ("AF_UNIX", libc::AF_UNIX, libc::SOCK_STREAM, 0),
    ("AF_INET", libc::AF_INET, libc::SOCK_STREAM, 0),
    ("AF_INET udp", libc::AF_INET, libc::SOCK_DGRAM, 0),
    ("AF_INET raw", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
    ("AF_INET6", libc::AF_INET6, libc::SOCK_STREAM, 0),
    ("AF_NETLINK route", libc::AF_NETLINK, libc::SOCK_RAW, 0),
    ("AF_NETLINK xfrm", libc::AF_NETLINK, libc::SOCK_RAW, NETLINK_XFRM),
    ("AF_NETLINK audit", libc::AF_NETLINK, libc::SOCK_RAW, NETLINK_AUDIT),
    ("AF_NETLINK netfilter", libc::AF_NETLINK, libc::SOCK_RAW, NETLINK_NETFILTER),
    ("AF_NETLINK generic", libc::AF_NETLINK, libc::SOCK_RAW, NETLINK_GENERIC),
    ("AF_ALG", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
    ("AF_PACKET", libc::AF_PACKET, libc::SOCK_RAW, 0),
    ("AF_VSOCK", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    ("AF_RXRPC", AF_RXRPC, libc::SOCK_DGRAM, libc::AF_INET),
    ("AF_KEY", libc::AF_KEY, libc::SOCK_RAW, AF_KEY_V2),
    ("AF_TIPC", libc::AF_TIPC, libc::SOCK_SEQPACKET, 0),
    ("AF_CAN", libc::AF_CAN, libc::SOCK_RAW, 1),
    ("AF_BLUETOOTH", libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
    ("AF_XDP", libc::AF_XDP, libc::SOCK_RAW, 0),
];

pub(super) fn report() -> Section {
    let outcomes: Map<String, Value> = FAMILIES
        .iter()
        .map(|&(name, family, kind, protocol)| fact(name, outcome(family, kind, protocol)))
        .collect();
    vec![fact("sockets", outcomes)]
}

/// Through libc: rustix has no names for families that nobody should use.
fn outcome(family: i32, kind: i32, protocol: i32) -> String {
    // SAFETY: the call takes numbers only.
    match unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) } {
        -1 => errno::name(child::last_errno()),
        socket => {
            // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(socket) });
            "ok".to_owned()
        }
    }
}
