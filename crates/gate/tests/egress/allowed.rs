//! Honest targets: what rules allow passes, to the addresses that were checked and in their order.

use crate::{
    Attempt::{self, Ask, Connect, ConnectHost, Get, GetResolved, Hello, Http, Resolved},
    World, policy,
};

const FILES: &[u8] = b"files.corp.example";

/// The attempt, and the rule that is to allow it.
const ROWS: &[(Attempt, &str)] = &[
    (Connect(b"github.com:443"), "github.com:443"),
    (Connect(b"GitHub.COM:443"), "github.com:443"),
    (Connect(b"github.com.:443"), "github.com:443"),
    (Connect("ｇithub.com:443".as_bytes()), "github.com:443"),
    (Connect(b"api.example.com:443"), "api.example.com:443,8443"),
    (Connect(b"api.example.com:8443"), "api.example.com:443,8443"),
    (Connect(b"files.pypi.org:443"), "*.pypi.org:443"),
    (Connect(b"a.b.pypi.org:443"), "*.pypi.org:443"),
    (Connect(b"r3---sn-x.pypi.org:443"), "*.pypi.org:443"),
    (Connect(b"1.pypi.org:443"), "*.pypi.org:443"),
    (Connect("bücher.example:443".as_bytes()), "xn--bcher-kva.example:443"),
    (Connect("BÜCHER.example:443".as_bytes()), "xn--bcher-kva.example:443"),
    (Connect("bücher。example:443".as_bytes()), "xn--bcher-kva.example:443"),
    (Connect(b"xn--bcher-kva.example:443"), "xn--bcher-kva.example:443"),
    (Connect(b"XN--BCHER-KVA.example:443"), "xn--bcher-kva.example:443"),
    (Connect(b"1.1.1.1:443"), "1.1.1.1:443"),
    (Connect(b"[2606:4700:4700::1111]:443"), "[2606:4700:4700::1111]:443"),
    (Connect(b"[2606:4700:4700:0:0:0:0:1111]:443"), "[2606:4700:4700::1111]:443"),
    (Connect(b"10.1.2.3:443"), "10.1.2.3:443,80 (TLS or http)"),
    (ConnectHost("github.com:443", &[b"github.com:443"]), "github.com:443"),
    (ConnectHost("github.com:443", &[b"github.com"]), "github.com:443"),
    (ConnectHost("github.com:443", &[b"GITHUB.com."]), "github.com:443"),
    (ConnectHost("api.example.com:8443", &[b"api.example.com"]), "api.example.com:443,8443"),
    (
        ConnectHost("[2606:4700:4700::1111]:443", &[b"[2606:4700:4700::1111]"]),
        "[2606:4700:4700::1111]:443",
    ),
    (Hello("github.com:443", Some(b"github.com")), "github.com:443"),
    (Hello("github.com:443", Some(b"GitHub.com")), "github.com:443"),
    (Hello("bücher.example:443", Some(b"xn--bcher-kva.example")), "xn--bcher-kva.example:443"),
    (Hello("1.1.1.1:443", None), "1.1.1.1:443"),
    (Resolved("github.com:443", &["140.82.112.3", "2606:50c0:8000::64"]), "github.com:443"),
    (Resolved("github.com:443", &["64:ff9b::8c52:7003"]), "github.com:443"),
    (
        Resolved("db.corp.example:443", &["10.1.0.1", "fd12:3456::1"]),
        "db.corp.example:443 (TLS or http)",
    ),
    (
        Resolved("files.corp.example:19876", &["93.184.215.14"]),
        "files.corp.example:80,19876 (TLS or http)",
    ),
    (Get(b"http://wiki.corp.example/"), WIKI),
    (Get(b"http://wiki.corp.example"), WIKI),
    (Get(b"HTTP://Wiki.Corp.Example:80/"), WIKI),
    (Get(b"http://wiki.corp.example:8080/api/x?q=../../y&z=%00"), WIKI),
    (Get(b"http://wiki.corp.example/api/"), WIKI),
    (Get(b"http://wiki.corp.example/api/v1/x%c3%bc;v=1"), WIKI),
    (Get(b"http://wiki.corp.example/a%20b"), WIKI),
    (Get(b"http://10.1.2.3/"), "10.1.2.3:443,80 (TLS or http)"),
    (Http("HEAD", "http://wiki.corp.example/", &[b"wiki.corp.example:80"]), WIKI),
    (
        GetResolved("http://files.corp.example:19876/", &["10.200.0.2"]),
        "files.corp.example:80,19876 (TLS or http)",
    ),
    (
        GetResolved("http://files.corp.example/a/b", &["100.64.9.9"]),
        "files.corp.example:80,19876 (TLS or http)",
    ),
    (
        GetResolved("http://meta.corp.example/", &["169.254.169.254"]),
        "meta.corp.example:80 (http GET)",
    ),
    (Ask(b"github.com", 1), ""),
    (Ask(b"GitHub.com.", 28), ""),
    (Ask(b"files.pypi.org", 28), ""),
    (Ask(b"wiki.corp.example", 1), ""),
];

const WIKI: &str = "wiki.corp.example:80,8080 (http GET,HEAD / /api/* /a%20b)";

#[test]
fn every_honest_target_passes_by_its_rule() {
    let policy = policy();
    assert!(ROWS.len() >= 30, "only {} rows", ROWS.len());
    for (attempt, rule) in ROWS {
        let world = World::with(attempt.addresses());
        let permit = attempt.make(&policy, &world);
        let permit = permit.unwrap_or_else(|denial| panic!("{attempt:?}: {denial}"));
        let Some(permit) = permit else { continue };
        assert_eq!(permit.rule(), *rule, "{attempt:?}");
        if permit.request().name().is_some() {
            assert_eq!(permit.addresses(), world.addresses, "{attempt:?}");
        }
        assert_eq!(permit.audit().decision, "allow");
    }
}

#[test]
fn every_usual_method_passes_where_none_is_listed() {
    let policy = policy();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let attempt = Http(method, "http://files.corp.example/x", &[FILES]);
        let world = World::with(&["10.200.0.9"]);
        assert!(attempt.make(&policy, &world).is_ok(), "{method}");
    }
}
