//! What there is of a network: interfaces, and routes that lead out of the sandbox.

use super::{Section, fact, text};

pub(super) fn report() -> Section {
    vec![
        fact("interfaces", interfaces(&text("/proc/net/dev"))),
        fact("routes", routes(&text("/proc/net/route"), &text("/proc/net/ipv6_route"))),
    ]
}

fn interfaces(dev: &str) -> Vec<&str> {
    dev.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect()
}

/// Those over loopback lead nowhere, and the kernel makes some of them by itself.
fn routes(ipv4: &str, ipv6: &str) -> usize {
    let out = |device: Option<&str>| device.is_some_and(|name| name != "lo");
    let ipv4 = ipv4.lines().skip(1);
    let ipv6 = ipv6.lines();
    ipv4.filter(|line| out(line.split_whitespace().next())).count()
        + ipv6.filter(|line| out(line.split_whitespace().next_back())).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_without_the_two_heads() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo:  0 0\n  eth0: 1 2\n";
        assert_eq!(interfaces(dev), ["lo", "eth0"]);
    }

    #[test]
    fn only_routes_that_lead_out_count() {
        let ipv4 = "Iface\tDestination\neth0\t00000000\nlo\t0000007F\n";
        let ipv6 = "00 00 00 00 00 00 00 00 00200200       lo\nfe80 40 0 0 0 1 2 3 4   eth0\n";
        assert_eq!(routes(ipv4, ipv6), 2);
        assert_eq!(routes("", ""), 0);
    }
}
