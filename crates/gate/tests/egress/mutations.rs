//! Two hundred thousand spoilt requests, the same ones in each run. What passes lies within the
//! rules as they are written here once more, in plain strings and octets.

use crate::{World, fitting_host, policy};
use gate::egress::{Opening, Permit, QuestionType, Request, question};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MUTATIONS: usize = 200_000;
const QUESTIONS: usize = 50_000;

/// What spoiling begins with: what the rules allow, and what comes near it. Tunnels first.
const TARGETS: [&str; 14] = [
    "github.com:443",
    "api.example.com:8443",
    "files.pypi.org:443",
    "bücher.example:443",
    "1.1.1.1:443",
    "[2606:4700:4700::1111]:443",
    "10.1.2.3:443",
    "db.corp.example:443",
    "evil.example:443",
    "127.0.0.1:443",
    "http://wiki.corp.example/api/v1/x?q=1",
    "http://wiki.corp.example:8080/a%20b",
    "http://files.corp.example:19876/x",
    "http://meta.corp.example/latest/",
];

const TUNNELS: usize = 10;

/// What is put in: what parsers trip over, and halves of other hosts.
const PIECES: [&str; 40] = [
    ".",
    "..",
    ":",
    "@",
    "%",
    "%2e",
    "%00",
    "%2f",
    "/",
    "//",
    "\\",
    "#",
    "?",
    ";",
    "[",
    "]",
    "\0",
    "\r\n",
    " ",
    "\t",
    "*",
    "-",
    "_",
    "0",
    "0x",
    "443",
    ":443",
    ":80",
    "com",
    ".org",
    "pypi.org",
    "evil.example",
    "github.com",
    "xn--",
    "。",
    "ｅ",
    "\u{ad}",
    "\u{200d}",
    "ß",
    "::ffff:",
];

/// Addresses that names are given: some of each kind, by chance.
const ADDRESSES: [&str; 22] = [
    "140.82.112.3",
    "93.184.215.14",
    "2606:50c0:8000::64",
    "64:ff9b::8c52:7003",
    "10.1.0.7",
    "10.1.2.3",
    "10.200.0.2",
    "10.9.9.9",
    "100.64.0.9",
    "100.100.100.200",
    "192.168.1.1",
    "fd12:3456::1",
    "fd00::1",
    "127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "169.254.1.1",
    "::1",
    "::ffff:10.1.0.7",
    "fe80::1",
    "224.0.0.1",
    "64:ff9b::7f00:1",
];

/// A generator that is the same everywhere and forever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// The text as it is, or with up to three wounds.
    fn spoil(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 if at < bytes.len() => bytes[at] ^= 0x20,
                _ => drop(bytes.splice(at..at, self.one(&PIECES).bytes())),
            }
        }
        bytes
    }

    /// Mostly as it is: where every part is spoilt, nothing passes and nothing is proved.
    fn seldom_spoil(&mut self, text: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(text) {
            Ok(text) if self.below(4) == 0 => self.spoil(text),
            _ => text.to_vec(),
        }
    }

    /// One address that fits the target that spoiling began with, and often others beside it.
    fn world(&mut self, seed: &str) -> World {
        let fitting = match seed {
            seed if seed.contains("files.corp") => "10.200.0.2",
            seed if seed.contains(".corp.") => "10.1.0.7",
            _ => "140.82.112.3",
        };
        let mut addresses = vec![fitting];
        for _ in 0..self.below(3) {
            addresses.push(self.one(&ADDRESSES));
        }
        World::with(&addresses)
    }
}

fn rule_has(host: &str, port: u16) -> bool {
    match host {
        "github.com" | "xn--bcher-kva.example" | "db.corp.example" => port == 443,
        "1.1.1.1" | "[2606:4700:4700::1111]" => port == 443,
        "api.example.com" => port == 443 || port == 8443,
        "10.1.2.3" => port == 443 || port == 80,
        "wiki.corp.example" => port == 80 || port == 8080,
        "files.corp.example" => port == 80 || port == 19876,
        "meta.corp.example" => port == 80,
        other => other.len() > ".pypi.org".len() && other.ends_with(".pypi.org") && port == 443,
    }
}

fn v4_fits(host: &str, [a, b, c, d]: [u8; 4]) -> bool {
    match host {
        "10.1.2.3" => [a, b, c, d] == [10, 1, 2, 3],
        "db.corp.example" | "wiki.corp.example" => [a, b] == [10, 1],
        "files.corp.example" => {
            let shared = a == 100 && (64..128).contains(&b) && [a, b, c, d] != [100, 100, 100, 200];
            [a, b, c] == [10, 200, 0] || shared || [a, b] == [93, 184]
        }
        "meta.corp.example" => a == 10 || [a, b, c, d] == [169, 254, 169, 254],
        _ => is_public(Ipv4Addr::new(a, b, c, d)),
    }
}

fn v6_fits(host: &str, address: Ipv6Addr) -> bool {
    match host {
        "db.corp.example" => address.segments()[..2] == [0xfd12, 0x3456],
        "wiki.corp.example" | "files.corp.example" | "meta.corp.example" | "10.1.2.3" => false,
        _ => match address.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                is_public(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            [first, ..] => first == 0x2606,
        },
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || first == 0
        || first == 100)
}

fn check_permit(permit: &Permit, written: &[u8], world: &World) {
    let shown = || written.escape_ascii().to_string();
    let target = permit.request().target();
    let host = target.host.to_string();
    assert!(rule_has(&host, target.port), "{} became {target}", shown());
    for &address in permit.addresses() {
        let fits = match address {
            IpAddr::V4(address) => v4_fits(&host, address.octets()),
            IpAddr::V6(address) => v6_fits(&host, address),
        };
        assert!(fits, "{} may reach {address}", shown());
        assert!(permit.request().name().is_none() || world.addresses.contains(&address));
    }
    // What was written in ASCII says this host in these letters, and no other reading is left.
    if written.is_ascii() && !host.starts_with("[") && !host.contains("xn--") {
        let lower = String::from_utf8(written.to_ascii_lowercase()).unwrap();
        let said = lower.strip_prefix("http://").unwrap_or(&lower);
        let said = said.split(['/', '?']).next().unwrap();
        let said = said.split(':').next().unwrap();
        assert_eq!(said.strip_suffix('.').unwrap_or(said), host, "{}", shown());
    }
}

#[test]
fn no_spoilt_target_gets_outside_the_rules() {
    let policy = policy();
    let mut chance = Chance(1);
    let (mut tunnels, mut plains) = (0, 0);
    for _ in 0..MUTATIONS {
        let seed = match chance.below(2) {
            0 => chance.one(&TARGETS[..TUNNELS]),
            _ => chance.one(&TARGETS[TUNNELS..]),
        };
        let written = chance.spoil(seed);
        let world = chance.world(seed);
        if !seed.starts_with("http:") {
            let Ok(request) = Request::connect(&written, &[]) else { continue };
            let name = request.name().map_or("", |name| name.as_str());
            let name = chance.seldom_spoil(name.as_bytes());
            let server_name = (!name.is_empty()).then_some(name.as_slice());
            let opening = Opening::Tls { server_name };
            let Ok(permit) = world.send(&policy, &request, Some(opening)) else { continue };
            check_permit(&permit, &written, &world);
            let said = server_name.map(|name| name.to_ascii_lowercase());
            let asked = request.name().map(|name| name.as_str().as_bytes().to_vec());
            assert_eq!(said, asked, "{}", written.escape_ascii());
            tunnels += 1;
        } else {
            let method = chance.one(&["GET", "GET", "HEAD", "POST", "TRACE"]);
            let host = chance.seldom_spoil(fitting_host(&written));
            let Ok(request) = Request::plain(method.as_bytes(), &written, &[&host]) else {
                continue;
            };
            let Ok(permit) = world.send(&policy, &request, None) else { continue };
            check_permit(&permit, &written, &world);
            check_plain(&permit, method, &written);
            plains += 1;
        }
    }
    // Enough must pass for the test to say anything.
    assert!(tunnels > MUTATIONS / 20 && plains > MUTATIONS / 50, "{tunnels} and {plains}");
}

fn check_plain(permit: &Permit, method: &str, written: &[u8]) {
    let sent = permit.request().origin_form().unwrap();
    let host = permit.request().target().host.to_string();
    let shown = written.escape_ascii().to_string();
    let (path, _) = sent.split_once('?').unwrap_or((&sent, ""));
    let fits = match host.as_str() {
        "wiki.corp.example" => path == "/" || path == "/a%20b" || path.starts_with("/api/"),
        _ => path.starts_with('/'),
    };
    assert!(fits, "{shown} sends {sent}");
    assert!(!path.contains("//") && !path.contains('\\'), "{shown} sends {sent}");
    // `..x` is a file like any other; `..;x` is `..` to servers that cut parameters off.
    let climbs = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
    assert!(!path.split('/').any(climbs), "{shown} sends {sent}");
    assert!(sent.bytes().all(|byte| byte.is_ascii_graphic()), "{shown} sends {sent}");
    let methods: &[&str] = match host.as_str() {
        "wiki.corp.example" => &["GET", "HEAD"],
        "meta.corp.example" => &["GET"],
        _ => &["GET", "HEAD", "POST"],
    };
    assert!(methods.contains(&method), "{method} {shown}");
    for address in permit.addresses() {
        let outside = matches!(address, IpAddr::V4(address) if is_public(*address));
        assert!(!outside, "{shown} goes to {address}");
    }
}

#[test]
fn no_spoilt_question_is_asked_of_the_world() {
    let policy = policy();
    let mut chance = Chance(2);
    let mut answered = 0;
    for _ in 0..QUESTIONS {
        let (name, _) = chance.one(&TARGETS[..TUNNELS - 1]).rsplit_once(':').unwrap();
        let written = chance.spoil(name);
        let kind = chance.one(&[1, 28, 16, 65]);
        let Ok(name) = question(&policy, &written, QuestionType::of_code(kind)) else { continue };
        let known = [443, 80].into_iter().any(|port| rule_has(name.as_str(), port));
        assert!(known && kind != 16 && kind != 65, "{}", written.escape_ascii());
        answered += 1;
    }
    assert!(answered > QUESTIONS / 50, "only {answered}");
}
