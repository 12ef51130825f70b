//! Egress as a sandbox meets it: hostile targets, honest ones, and two hundred thousand spoilt ones,
//! each put through the same steps as by the gate, with a world that counts what it is asked.

use gate::egress::{Class, Denial, Opening, Permit, Policy, QuestionType, Request, question};
use std::{cell::RefCell, fmt, net::IpAddr};

mod allowed;
mod corpus;
mod mutations;
mod policies;

/// One attempt to get out.
#[derive(Clone, Copy)]
enum Attempt {
    /// CONNECT, then a hello that names the same host.
    Connect(&'static [u8]),
    /// CONNECT with Host headers.
    ConnectHost(&'static str, &'static [&'static [u8]]),
    /// CONNECT to the allowed repository, with what is then sent through the tunnel.
    Hello(&'static str, Option<&'static [u8]>),
    /// CONNECT, with something in the tunnel that is not TLS.
    Raw(&'static str),
    /// `GET target` with the Host header that fits.
    Get(&'static [u8]),
    /// Method, target, Host headers.
    Http(&'static str, &'static str, &'static [&'static [u8]]),
    /// CONNECT to a name that has these addresses.
    Resolved(&'static str, &'static [&'static str]),
    /// `GET` from a name that has these addresses.
    GetResolved(&'static str, &'static [&'static str]),
    Ask(&'static [u8], u16),
}

const POLICY: &str = r#"{"version": 1, "rules": [
    {"host": "github.com"},
    {"host": "api.example.com", "ports": [443, 8443]},
    {"host": "*.pypi.org"},
    {"host": "bücher.example"},
    {"host": "1.1.1.1"},
    {"host": "[2606:4700:4700::1111]"},
    {"host": "10.1.2.3", "ports": [443, 80], "allowed_ips": ["10.1.2.3"]},
    {"host": "db.corp.example", "allowed_ips": ["10.1.0.0/16", "fd12:3456::/32"]},
    {"host": "wiki.corp.example", "ports": [80, 8080], "methods": ["GET", "HEAD"],
     "paths": ["/", "/api/*", "/a%20b"], "allowed_ips": ["10.1.0.0/16"]},
    {"host": "files.corp.example", "ports": [80, 19876],
     "allowed_ips": ["10.200.0.0/24", "100.64.0.0/10", "93.184.0.0/16"]},
    {"host": "meta.corp.example", "ports": [80], "methods": ["GET"],
     "allowed_ips": ["169.254.169.254", "10.0.0.0/8"]}
]}"#;

/// Resolves what it was told to, and remembers what it was asked.
struct World {
    addresses: Vec<IpAddr>,
    asked: RefCell<Vec<String>>,
}

impl World {
    fn with(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self { addresses, asked: RefCell::default() }
    }

    /// The gate's own order: the only place in which a connection could begin is behind the `Ok`.
    fn send(
        &self,
        policy: &Policy,
        request: &Request,
        opening: Option<Opening<'_>>,
    ) -> Result<Permit, Denial> {
        let admitted = policy.admit(request)?;
        let resolved = match admitted.name() {
            Some(name) => {
                self.asked.borrow_mut().push(name.to_string());
                self.addresses.clone()
            }
            None => Vec::new(),
        };
        let permit = admitted.approve(&resolved)?;
        opening.map_or(Ok(()), |opening| permit.opens(opening))?;
        Ok(permit)
    }
}

fn policy() -> Policy {
    Policy::of(&serde_json::from_str(POLICY).unwrap()).unwrap()
}

const PUBLIC: &[&str] = &["140.82.112.3"];

impl Attempt {
    fn addresses(self) -> &'static [&'static str] {
        match self {
            Self::Resolved(_, addresses) | Self::GetResolved(_, addresses) => addresses,
            Self::Get(_) | Self::Http(..) => &["10.1.0.7"],
            _ => PUBLIC,
        }
    }

    /// None where a question was asked and may be answered.
    fn make(self, policy: &Policy, world: &World) -> Result<Option<Permit>, Denial> {
        let tunnel = |target: &[u8], hosts: &[&[u8]]| {
            let request = Request::connect(target, hosts)?;
            // An honest client names the host that it asked for, and no address.
            let name = request.name().map(|name| name.as_str().to_owned());
            let server_name = name.as_ref().map(String::as_bytes);
            world.send(policy, &request, Some(Opening::Tls { server_name })).map(Some)
        };
        let through = |target: &str, opening| {
            let request = Request::connect(target.as_bytes(), &[])?;
            world.send(policy, &request, Some(opening)).map(Some)
        };
        let plain = |method: &str, target: &[u8], hosts: &[&[u8]]| {
            let request = Request::plain(method.as_bytes(), target, hosts)?;
            world.send(policy, &request, None).map(Some)
        };
        match self {
            Self::Connect(target) => tunnel(target, &[]),
            Self::ConnectHost(target, hosts) => tunnel(target.as_bytes(), hosts),
            Self::Resolved(target, _) => tunnel(target.as_bytes(), &[]),
            Self::Hello(target, server_name) => through(target, Opening::Tls { server_name }),
            Self::Raw(target) => through(target, Opening::Other),
            Self::Get(target) => plain("GET", target, &[fitting_host(target)]),
            Self::GetResolved(target, _) => {
                plain("GET", target.as_bytes(), &[fitting_host(target.as_bytes())])
            }
            Self::Http(method, target, hosts) => plain(method, target.as_bytes(), hosts),
            Self::Ask(name, kind) => {
                question(policy, name, QuestionType::of_code(kind)).map(|_| None)
            }
        }
    }
}

/// Bytes as a person reads them.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = |hosts: &[&[u8]]| -> Vec<String> {
            hosts.iter().map(|host| host.escape_ascii().to_string()).collect()
        };
        match *self {
            Self::Connect(target) => write!(f, "CONNECT {}", target.escape_ascii()),
            Self::ConnectHost(target, given) => {
                write!(f, "CONNECT {target}, Host {:?}", hosts(given))
            }
            Self::Hello(target, name) => {
                let name = name.map(|name| name.escape_ascii().to_string());
                write!(f, "CONNECT {target}, hello to {name:?}")
            }
            Self::Raw(target) => write!(f, "CONNECT {target}, no TLS"),
            Self::Get(target) => write!(f, "GET {}", target.escape_ascii()),
            Self::Http(method, target, given) => {
                write!(f, "{method:?} {target:?}, Host {:?}", hosts(given))
            }
            Self::Resolved(target, addresses) => write!(f, "CONNECT {target} at {addresses:?}"),
            Self::GetResolved(target, addresses) => write!(f, "GET {target} at {addresses:?}"),
            Self::Ask(name, kind) => write!(f, "question {} of type {kind}", name.escape_ascii()),
        }
    }
}

/// The authority of a URI as a client copies it into its Host header.
fn fitting_host(target: &[u8]) -> &[u8] {
    let after = target.windows(3).position(|window| window == b"://").map_or(0, |at| at + 3);
    let rest = &target[after..];
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    &rest[..end]
}

/// The code of a denial, and the class of the address where one was refused.
fn reason(denial: &Denial) -> String {
    let code = denial.reason.code();
    denial.class().map_or(code.to_owned(), |class: Class| format!("{code} {class}"))
}
