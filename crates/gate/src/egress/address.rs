//! What an address is, by the registries of special addresses, and whether a rule may reach it.
//!
//! Public addresses are open to a rule without `allowed_ips`. Where a rule has `allowed_ips`, its
//! host may have these addresses and no others: a name of the house that suddenly points outside is
//! refused like one that points inside.
//!
//! | class | reached by |
//! |---|---|
//! | public | any rule without `allowed_ips`; otherwise a range that holds it |
//! | private, shared, documentation, benchmarking, reserved | a range of `allowed_ips` |
//! | link-local, metadata | the very address in `allowed_ips`, as a range of one |
//! | loopback, unspecified, multicast, broadcast, wrapped | nothing, ever |
//!
//! Loopback stays shut because it would be the node's own, where the node's unguarded services are.

use super::Reason;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Public,
    Private,
    /// Of carriers, RFC 6598.
    Shared,
    Documentation,
    Benchmarking,
    Reserved,
    LinkLocal,
    /// Where clouds hand out the node's own credentials.
    Metadata,
    Loopback,
    Unspecified,
    Multicast,
    Broadcast,
    /// A v6 address that stands for a v4 one. Whoever needs the v4 address can say it.
    Wrapped,
}

impl Class {
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    fn access(self) -> Access {
        match self {
            Self::Public => Access::Open,
            Self::Private
            | Self::Shared
            | Self::Documentation
            | Self::Benchmarking
            | Self::Reserved => Access::ByRange,
            Self::LinkLocal | Self::Metadata => Access::BySingleAddress,
            Self::Loopback
            | Self::Unspecified
            | Self::Multicast
            | Self::Broadcast
            | Self::Wrapped => Access::Never,
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Reserved => "reserved",
            Self::LinkLocal => "link_local",
            Self::Metadata => "metadata",
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Wrapped => "wrapped",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

enum Access {
    Open,
    ByRange,
    BySingleAddress,
    Never,
}

/// Whether a rule with these `allowed_ips` may reach the address.
pub(super) fn check(address: IpAddr, allowed_ips: &[IpNet]) -> Result<(), Reason> {
    let listed = || allowed_ips.iter().any(|range| range.contains(&address));
    let listed_alone = || allowed_ips.contains(&IpNet::from(address));
    match Class::of(address).access() {
        Access::Open if allowed_ips.is_empty() || listed() => Ok(()),
        Access::Open => Err(Reason::AddressNotListed),
        Access::ByRange if listed() => Ok(()),
        Access::BySingleAddress if listed_alone() => Ok(()),
        Access::ByRange | Access::BySingleAddress | Access::Never => Err(Reason::AddressRefused),
    }
}

/// Why a range can't stand in `allowed_ips`, if it can't. It says early what [`check`] would say
/// with every request.
pub(super) fn check_range(range: IpNet) -> Result<(), &'static str> {
    if range.trunc() != range {
        return Err("has bits set behind its prefix");
    }
    // The widest that anybody was assigned for private use: 10.0.0.0/8 and fc00::/7.
    let widest = if range.addr().is_ipv4() { 8 } else { 7 };
    if range.prefix_len() < widest {
        return Err("is too wide: v4 ranges have a prefix of 8 and more, v6 ranges of 7 and more");
    }
    let touches = |special: IpNet| special.contains(&range) || range.contains(&special);
    let is_single = range.prefix_len() == range.max_prefix_len();
    let v4 = V4.iter().map(|(special, class)| (IpNet::from(*special), *class));
    let v6 = V6.iter().map(|(special, class)| (IpNet::from(*special), *class));
    for (special, class) in v4.chain(v6).filter(|(special, _)| touches(*special)) {
        match class.access() {
            Access::Never => return Err("holds addresses that no rule can open"),
            // A wider range may hold a metadata address: it opens the rest, and not this one.
            Access::BySingleAddress if special.contains(&range) && !is_single => {
                return Err("link-local and metadata addresses are listed one by one");
            }
            _ => {}
        }
    }
    Ok(())
}

/// An address as a denial explains it.
pub(super) fn described(address: IpAddr) -> String {
    let class = Class::of(address);
    let inside = match address {
        IpAddr::V6(address) => unwrapped(address),
        IpAddr::V4(_) => None,
    };
    match inside {
        Some(inside) => {
            let inner = Class::of(inside.into());
            format!("{address} is {class} and stands for {inside}, which is {inner}")
        }
        None => format!("{address} is {class}"),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const fn v6_end(e: u16, f: u16, g: u16, h: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, e, f, g, h), prefix)
}

/// IANA's registry and the clouds' metadata services. The first that holds an address names it.
const V4: [(Ipv4Net, Class); 21] = [
    (v4(0, 0, 0, 0, 8), Class::Unspecified),
    (v4(127, 0, 0, 0, 8), Class::Loopback),
    // Azure's, on an address that looks public; Oracle's first; Alibaba's.
    (v4(168, 63, 129, 16, 32), Class::Metadata),
    (v4(192, 0, 0, 192, 32), Class::Metadata),
    (v4(100, 100, 100, 200, 32), Class::Metadata),
    // Nearly everybody's; then containers on AWS.
    (v4(169, 254, 169, 254, 32), Class::Metadata),
    (v4(169, 254, 170, 0, 24), Class::Metadata),
    (v4(169, 254, 0, 0, 16), Class::LinkLocal),
    (v4(10, 0, 0, 0, 8), Class::Private),
    (v4(172, 16, 0, 0, 12), Class::Private),
    (v4(192, 168, 0, 0, 16), Class::Private),
    (v4(100, 64, 0, 0, 10), Class::Shared),
    (v4(192, 0, 0, 0, 24), Class::Reserved),
    (v4(192, 0, 2, 0, 24), Class::Documentation),
    (v4(198, 51, 100, 0, 24), Class::Documentation),
    (v4(203, 0, 113, 0, 24), Class::Documentation),
    (v4(192, 88, 99, 0, 24), Class::Reserved),
    (v4(198, 18, 0, 0, 15), Class::Benchmarking),
    (v4(224, 0, 0, 0, 4), Class::Multicast),
    (v4(255, 255, 255, 255, 32), Class::Broadcast),
    (v4(240, 0, 0, 0, 4), Class::Reserved),
];

const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);

/// What is in no line is reserved: the world's addresses are all in 2000::/3.
const V6: [(Ipv6Net, Class); 21] = [
    (v6_end(0, 0, 0, 0, 128), Class::Unspecified),
    (v6_end(0, 0, 0, 1, 128), Class::Loopback),
    // Compatible, mapped, translated: ::a.b.c.d, ::ffff:a.b.c.d, ::ffff:0:a.b.c.d.
    (v6_end(0, 0, 0, 0, 96), Class::Wrapped),
    (v6_end(0, 0xffff, 0, 0, 96), Class::Wrapped),
    (v6_end(0xffff, 0, 0, 0, 96), Class::Wrapped),
    // NAT64, by everybody's prefix and by a network's own.
    (NAT64, Class::Wrapped),
    (v6(0x64, 0xff9b, 1, 0, 48), Class::Wrapped),
    // Teredo and 6to4.
    (v6(0x2001, 0, 0, 0, 32), Class::Wrapped),
    (v6(0x2002, 0, 0, 0, 16), Class::Wrapped),
    (v6(0x2001, 2, 0, 0, 48), Class::Benchmarking),
    (v6(0x2001, 0xdb8, 0, 0, 32), Class::Documentation),
    (v6(0x3fff, 0, 0, 0, 20), Class::Documentation),
    (v6(0x2001, 0, 0, 0, 23), Class::Reserved),
    // AWS and Google. All of fd00:ec2::/32 is AWS's own services.
    (v6(0xfd00, 0xec2, 0, 0, 32), Class::Metadata),
    (v6(0xfd20, 0xce, 0, 0, 32), Class::Metadata),
    (v6(0xfe80, 0, 0, 0, 10), Class::LinkLocal),
    (v6(0xfc00, 0, 0, 0, 7), Class::Private),
    (v6(0xff00, 0, 0, 0, 8), Class::Multicast),
    // The old test network and the first block, which nobody was assigned.
    (v6(0x3ffe, 0, 0, 0, 16), Class::Reserved),
    (v6(0x2000, 0, 0, 0, 16), Class::Reserved),
    (v6(0x2000, 0, 0, 0, 3), Class::Public),
];

fn of_v4(address: Ipv4Addr) -> Class {
    let found = V4.iter().find(|(range, _)| range.contains(&address));
    found.map_or(Class::Public, |(_, class)| *class)
}

fn of_v6(address: Ipv6Addr) -> Class {
    let found = V6.iter().find(|(range, _)| range.contains(&address));
    let class = found.map_or(Class::Reserved, |(_, class)| *class);
    let inside = || unwrapped(address).map(of_v4);
    if class == Class::Public && is_isatap(address) {
        Class::Wrapped
    } else if NAT64.contains(&address) && inside() == Some(Class::Public) {
        // All that a node without v4 ever sees of a v4 host: its resolver makes these.
        Class::Public
    } else {
        class
    }
}

/// ISATAP hides a v4 address in the interface half of any prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., marker, kind, _, _] = address.segments();
    matches!(marker, 0 | 0x200) && kind == 0x5efe
}

/// The v4 address that a v6 one stands for, in the forms that keep it whole.
fn unwrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, _, _, _, g, h] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0x2002, _) => of(b, c),
        // Teredo keeps the client's address with every bit turned over.
        (0x2001, 0) => of(!g, !h),
        (0, 0) if address.octets()[..12].iter().any(|&byte| byte != 0) || g != 0 => of(g, h),
        _ if NAT64.contains(&address) || is_isatap(address) => of(g, h),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
