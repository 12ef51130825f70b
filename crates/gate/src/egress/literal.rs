//! Addresses in the spellings that some library somewhere takes for one: `127.1`, `0x7f000001`,
//! `017700000001`. One spelling is good, the others are refused with the address that they mean.

use std::net::Ipv4Addr;

/// What a host that is no name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal {
    /// Four decimal parts without leading zeros.
    Plain(Ipv4Addr),
    /// Another spelling of this address.
    Odd(Ipv4Addr),
    /// It looks like an address and is none, though some library may think otherwise.
    Broken,
}

impl Literal {
    /// None where the host is a name: by the URL standard that is when its last label is no number.
    pub(super) fn read(host: &str) -> Option<Self> {
        let last = host.rsplit('.').next()?;
        if !is_number(last) {
            return None;
        }
        Some(match host.parse() {
            Ok(address) => Self::Plain(address),
            Err(_) => inet_aton(host).map_or(Self::Broken, Self::Odd),
        })
    }
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// One to four parts, each decimal, octal or hexadecimal; the last fills what is left.
fn inet_aton(host: &str) -> Option<Ipv4Addr> {
    let parts = host.split('.').map(part).collect::<Option<Vec<u32>>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let mut address = 0_u32;
    for (index, &part) in first.iter().enumerate() {
        address |= u32::from(u8::try_from(part).ok()?) << (24 - 8 * index);
    }
    let room = u32::MAX.checked_shr(8 * u32::try_from(first.len()).ok()?)?;
    (*last <= room).then(|| Ipv4Addr::from(address | last))
}

fn part(text: &str) -> Option<u32> {
    if !is_number(text) {
        return None;
    }
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // `0x` alone is nought to those who take it at all.
    if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, radix).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_its_address() {
        let loopback = Ipv4Addr::LOCALHOST;
        for text in [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.1",
            "127.0.0.01",
            "0x7f.0x0.0x0.0x1",
            "00000177.0.0.1",
        ] {
            assert_eq!(Literal::read(text), Some(Literal::Odd(loopback)), "{text}");
        }
        assert_eq!(Literal::read("127.0.0.1"), Some(Literal::Plain(loopback)));
        for text in ["0", "0x", "00"] {
            assert_eq!(Literal::read(text), Some(Literal::Odd(Ipv4Addr::UNSPECIFIED)), "{text}");
        }
    }

    #[test]
    fn what_looks_like_an_address_is_never_a_name() {
        for text in [
            "1.2.3.4.5",
            "256.1.1.1",
            "4294967296",
            "08.1.1.1",
            "1.2.3.256",
            "a.1",
            "1..1",
            "1.65536.1",
        ] {
            assert_eq!(Literal::read(text), Some(Literal::Broken), "{text}");
        }
    }

    #[test]
    fn names_are_left_alone() {
        for text in ["example.com", "1.2.3.4.example", "0x7f.org", "1e1", "127.0.0.1.nip.io", "0xg"]
        {
            assert_eq!(Literal::read(text), None, "{text}");
        }
    }
}
