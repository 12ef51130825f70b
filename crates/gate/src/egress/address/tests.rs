//! Each class by its addresses, first and last, and what each class takes to be reached.

use super::*;

fn class(address: &str) -> Class {
    Class::of(address.parse().unwrap())
}

#[test]
fn every_class_ends_where_the_registry_says() {
    let table = [
        (Class::Unspecified, "0.0.0.0 0.255.255.255 ::"),
        (Class::Loopback, "127.0.0.0 127.255.255.255 ::1"),
        (Class::Private, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0"),
        (Class::Private, "192.168.255.255 fc00:: fdff:ffff::1 fd00:ec1::1 fd00:ec3::1"),
        (Class::Shared, "100.64.0.0 100.127.255.255 100.100.100.199 100.100.100.201"),
        (Class::LinkLocal, "169.254.0.0 169.254.255.255 169.254.169.253 fe80:: febf:ffff::1"),
        (Class::Metadata, "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200"),
        (Class::Metadata, "192.0.0.192 168.63.129.16 fd00:ec2::254 fd00:ec2::23 fd20:ce::254"),
        (Class::Documentation, "192.0.2.0 198.51.100.255 203.0.113.7 2001:db8::1 3fff::1"),
        (Class::Benchmarking, "198.18.0.0 198.19.255.255 2001:2::1"),
        (Class::Multicast, "224.0.0.0 239.255.255.255 ff00:: ff02::1 ffff::1"),
        (Class::Broadcast, "255.255.255.255"),
        (Class::Reserved, "240.0.0.0 255.255.255.254 192.0.0.1 192.88.99.1 2001:10::1 fec0::1"),
        (Class::Reserved, "100::1 5f00::1 4000::1 1::1 2001:1ff::1 3ffe::1 fe00::1 2000::1"),
        (Class::Wrapped, "::2 ::1.2.3.4 ::ffff:1.2.3.4 ::ffff:0:1.2.3.4 64:ff9b::10.0.0.1"),
        (Class::Wrapped, "64:ff9b:1::1 2001::1 2002:101:101:: 2606::5efe:1.2.3.4"),
        (Class::Wrapped, "2606::200:5efe:1.2.3.4 64:ff9b::127.0.0.1 64:ff9b::168.63.129.16"),
        (Class::Public, "1.1.1.1 9.255.255.255 11.0.0.0 126.255.255.255 128.0.0.0 172.15.0.1"),
        (Class::Public, "172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255 100.128.0.0"),
        (Class::Public, "169.253.255.255 169.255.0.0 198.17.255.255 198.20.0.0 223.255.255.255"),
        (Class::Public, "2606:4700::1111 2001:200::1 2001:4860::8888 64:ff9b::1.1.1.1"),
        (Class::Public, "168.63.129.15 168.63.129.17 2003::1 3000::1"),
    ];
    for (expected, addresses) in table {
        for address in addresses.split(' ') {
            assert_eq!(class(address), expected, "{address}");
        }
    }
}

#[test]
fn what_is_wrapped_can_be_named() {
    for (outer, inner) in [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:0:10.0.0.1", "10.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2002:a00:1::", "10.0.0.1"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "10.0.0.1"),
        ("2606::5efe:10.0.0.1", "10.0.0.1"),
    ] {
        let found = unwrapped(outer.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(found.as_deref(), Some(inner), "{outer}");
    }
    for plain in ["::", "::1", "2606:4700::1111", "fd00::1", "fe80::1", "64:ff9b:1::1"] {
        assert_eq!(unwrapped(plain.parse().unwrap()), None, "{plain}");
    }
}

#[test]
fn an_address_takes_what_its_class_asks_for() {
    let refused = Err(Reason::AddressRefused);
    let unlisted = Err(Reason::AddressNotListed);
    let table: [(&str, &[&str], Result<(), Reason>); 20] = [
        ("1.1.1.1", &[], Ok(())),
        ("1.1.1.1", &["1.1.1.0/24"], Ok(())),
        ("1.1.1.1", &["1.1.2.0/24", "10.0.0.0/8"], unlisted),
        ("10.0.0.1", &[], refused),
        ("10.0.0.1", &["10.0.0.0/8"], Ok(())),
        ("10.0.0.1", &["10.0.0.1/32"], Ok(())),
        ("10.0.0.1", &["10.0.0.2/32", "192.168.0.0/16"], refused),
        ("100.64.0.1", &["100.64.0.0/10"], Ok(())),
        ("100.100.100.200", &["100.64.0.0/10"], refused),
        ("100.100.100.200", &["100.100.100.200/32"], Ok(())),
        ("169.254.169.254", &["169.254.0.0/16"], refused),
        ("169.254.169.254", &["169.254.169.254/32"], Ok(())),
        ("168.63.129.16", &[], refused),
        ("fd00:ec2::254", &["fd00::/8"], refused),
        ("fe80::1", &["fe80::1/128"], Ok(())),
        // Not even where a check of ranges was missed.
        ("127.0.0.1", &["127.0.0.1/32", "127.0.0.0/8"], refused),
        ("::1", &["::1/128", "::/0"], refused),
        ("0.0.0.0", &["0.0.0.0/32", "0.0.0.0/0"], refused),
        ("::ffff:10.0.0.1", &["::ffff:10.0.0.1/128", "10.0.0.0/8"], refused),
        ("224.0.0.1", &["224.0.0.1/32"], refused),
    ];
    for (address, ranges, expected) in table {
        let allowed: Vec<IpNet> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        assert_eq!(check(address.parse().unwrap(), &allowed), expected, "{address} {ranges:?}");
    }
}

#[test]
fn ranges_that_open_something_are_taken() {
    for range in [
        "10.0.0.0/8",
        "10.1.2.3/32",
        "172.16.0.0/12",
        "100.64.0.0/10",
        "fc00::/7",
        "fd00::/8",
        "169.254.169.254/32",
        "fd00:ec2::254/128",
        "93.184.0.0/16",
        "2606:4700::/32",
        "198.18.0.0/15",
    ] {
        assert_eq!(check_range(range.parse().unwrap()), Ok(()), "{range}");
    }
}
