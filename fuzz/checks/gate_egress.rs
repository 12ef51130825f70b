//! Where a sandbox says that it wants to go: the first byte chooses the form, the rest is its text.
//!
//! What is understood has one spelling, which is understood alike; whatever a resolver would take for an address is one.

use gate::egress::{Authority, Host, absolute_form, authority_form, host_header, server_name};
use std::net::Ipv4Addr;

pub(crate) fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    match choice % 5 {
        0 => drop(Host::read(text).map(|host| sound(&host))),
        1 => drop(authority_form(text).map(|authority| same(&authority))),
        2 => drop(host_header(text, 80).map(|authority| same(&authority))),
        3 => drop(server_name(text).map(|name| sound(&Host::Name(name)))),
        _ => drop(absolute_form(text).map(|(authority, path)| {
            same(&authority);
            let origin = path.origin_form();
            assert!(origin.starts_with('/') && origin.bytes().all(|byte| byte.is_ascii_graphic()));
            let whole = format!("http://{authority}{origin}");
            let again = absolute_form(whole.as_bytes()).expect("what was understood is understood");
            assert_eq!((again.0, again.1.origin_form()), (authority, origin));
        })),
    }
}

fn same(authority: &Authority) {
    sound(&authority.host);
    let text = authority.to_string();
    assert_eq!(authority_form(text.as_bytes()).as_ref(), Ok(authority));
    assert_eq!(host_header(text.as_bytes(), 80).as_ref(), Ok(authority));
}

fn sound(host: &Host) {
    let Host::Name(name) = host else { return };
    let name = name.as_str();
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    assert!(name.bytes().all(plain) && !name.ends_with('.') && name.len() <= 253, "{name:?}");
    assert_eq!(Host::read(name.as_bytes()).as_ref(), Ok(host), "{name:?}");
    // The C library reads a last label of digits, or of 0x and digits, as a part of an address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    assert!(!hex && !last.bytes().all(|byte| byte.is_ascii_digit()), "{name:?}");
    assert!(name.parse::<Ipv4Addr>().is_err());
}
