//! Policies: what may be written, what is named when it may not, and what a denial tells an agent.

use crate::{World, policy};
use contracts::egress::PolicySpec;
use gate::egress::{Opening, Policy, Reason, Request};
use serde_json::{Value, json};
use std::collections::HashSet;

fn compile(rules: Value) -> Result<Policy, String> {
    let spec = json!({ "version": 1, "rules": rules });
    let spec: PolicySpec = serde_json::from_value(spec).map_err(|error| error.to_string())?;
    Policy::of(&spec).map_err(|faults| faults.to_string())
}

#[test]
fn a_policy_without_rules_lets_nothing_out() {
    for policy in [compile(json!([])).unwrap(), Policy::default()] {
        let request = Request::connect(b"github.com:443", &[]).unwrap();
        let denial = policy.admit(&request).unwrap_err();
        assert_eq!(denial.reason, Reason::NoRules);
    }
}

#[test]
fn every_fault_of_a_rule_is_named_with_its_field() {
    let ips = json!(["10.0.0.0/8"]);
    let table = [
        (json!({ "host": "" }), "rules[0].host: the host is missing"),
        (json!({ "host": "*" }), "rules[0].host: the host holds a sign"),
        (json!({ "host": "*." }), "rules[0].host: the host is missing"),
        (json!({ "host": "*.com" }), "rules[0].host: is too wide"),
        (json!({ "host": "*.co.uk" }), "rules[0].host: is too wide"),
        (json!({ "host": "*.github.io" }), "rules[0].host: is too wide"),
        (json!({ "host": "*.internal" }), "rules[0].host: is too wide"),
        (json!({ "host": "*.COM." }), "rules[0].host: is too wide"),
        (json!({ "host": "*.*.example.com" }), "rules[0].host: the host holds a sign"),
        (json!({ "host": "a*.example.com" }), "rules[0].host: the host holds a sign"),
        (json!({ "host": "*example.com" }), "rules[0].host: the host holds a sign"),
        (json!({ "host": "*.1.2.3" }), "rules[0].host: addresses are written"),
        (json!({ "host": "*.1.2.3.4" }), "rules[0].host: has nothing beneath an address"),
        (json!({ "host": "example.com:443" }), "rules[0].host: the host is not a valid name"),
        (json!({ "host": "https://example.com" }), "rules[0].host: the host holds a sign"),
        (json!({ "host": "a@example.com" }), "rules[0].host: user names"),
        (json!({ "host": "localhost" }), "rules[0].host: is a name of the machine itself"),
        (json!({ "host": "*.localhost" }), "rules[0].host: is beneath the machine itself"),
        (json!({ "host": "inference.local" }), "rules[0].host: is a name of the machine itself"),
        (json!({ "host": "0x7f.1" }), "rules[0].host: addresses are written"),
        (json!({ "host": "127.0.0.1" }), "rules[0].allowed_ips: does not open the rule's own host"),
        (json!({ "host": "10.0.0.1" }), "rules[0].allowed_ips: does not open"),
        (json!({ "host": "11.0.0.1", "allowed_ips": ips }), "rules[0].allowed_ips: does not open"),
        (json!({ "host": "::ffff:1.1.1.1" }), "rules[0].allowed_ips: does not open"),
        (json!({ "host": "a.example", "ports": [] }), "rules[0].ports: must not be empty"),
        (json!({ "host": "a.example", "ports": [443, 0] }), "rules[0].ports[1]: is not a port"),
        (json!({ "host": "a.example", "ports": [65536] }), "65536"),
        (json!({ "host": "a.example", "methods": ["GET"] }), "rules[0].allowed_ips: is needed"),
        (json!({ "host": "a.example", "paths": ["/"] }), "rules[0].allowed_ips: is needed"),
        (json!({ "host": "a.example", "methods": [] }), "rules[0].methods: must not be empty"),
        (
            json!({ "host": "a.example", "methods": ["get"] }),
            "rules[0].methods[0]: is not a method",
        ),
        (json!({ "host": "a.example", "methods": ["TRACE"] }), "rules[0].methods[0]: is never"),
        (json!({ "host": "a.example", "methods": ["*"] }), "rules[0].methods[0]: is not a method"),
        (json!({ "host": "a.example", "paths": [] }), "rules[0].paths: must not be empty"),
        (json!({ "host": "a.example", "paths": ["api"] }), "rules[0].paths[0]: is not a path"),
        (json!({ "host": "a.example", "paths": [""] }), "rules[0].paths[0]: is not in its canon"),
        (json!({ "host": "a.example", "paths": ["/a*"] }), "rules[0].paths[0]: has a *"),
        (json!({ "host": "a.example", "paths": ["/*/a"] }), "rules[0].paths[0]: may hold *"),
        (json!({ "host": "a.example", "paths": ["/a?b"] }), "rules[0].paths[0]: may hold *"),
        (json!({ "host": "a.example", "paths": ["/a/../b"] }), "rules[0].paths[0]: is not a path"),
        (json!({ "host": "a.example", "paths": ["/%2fa"] }), "rules[0].paths[0]: is not a path"),
        (json!({ "host": "a.example", "paths": ["/%c3"] }), "rules[0].paths[0]: is not in its"),
        (json!({ "host": "a.example", "allowed_ips": [] }), "rules[0].allowed_ips: must not be"),
        (json!({ "host": "a.example", "allowed_ips": ["10.0.0.1/8"] }), "has bits set"),
        (json!({ "host": "a.example", "allowed_ips": ["0.0.0.0/0"] }), "is too wide"),
        (json!({ "host": "a.example", "allowed_ips": ["::/0"] }), "is too wide"),
        (json!({ "host": "a.example", "allowed_ips": ["8.0.0.0/7"] }), "is too wide"),
        (json!({ "host": "a.example", "allowed_ips": ["127.0.0.1"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["0.0.0.0/8"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["::1"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["::ffff:10.0.0.1"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["64:ff9b::/96"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["2002::/16"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["2001::/16"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["224.0.0.0/8"] }), "no rule can open"),
        (json!({ "host": "a.example", "allowed_ips": ["169.254.0.0/16"] }), "one by one"),
        (json!({ "host": "a.example", "allowed_ips": ["fe80::/64"] }), "one by one"),
        (json!({ "host": "a.example", "allowed_ips": ["fd00:ec2::/64"] }), "one by one"),
        (json!({ "host": "a.example", "allowed_ips": ["10.0.0"] }), "is not an address or a range"),
        (json!({ "host": "a.example", "allowed_ips": ["10.0.0.0/33"] }), "is not an address or a"),
        (json!({ "host": "a.example", "allowed_ips": ["a.example"] }), "is not an address or a"),
        (json!({ "host": "a.example", "port": 443 }), "unknown field `port`"),
        (json!({ "ports": [443] }), "missing field `host`"),
    ];
    for (rule, expected) in table {
        let said = compile(json!([rule])).expect_err(&rule.to_string());
        assert!(said.contains(expected), "{rule}: {said}");
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let said = compile(json!([
        { "host": "*.com", "ports": [0] },
        { "host": "fine.example" },
        { "host": "a.example", "methods": ["get"], "allowed_ips": ["127.0.0.1"] },
    ]))
    .unwrap_err();
    let fields: Vec<&str> =
        said.split("; ").map(|fault| fault.split(':').next().unwrap()).collect();
    let expected =
        ["rules[0].host", "rules[0].ports[0]", "rules[2].methods[0]", "rules[2].allowed_ips[0]"];
    assert_eq!(fields, expected);
}

#[test]
fn lists_have_a_bound() {
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|index| json!({ "host": format!("h{index}.example") })).collect()
    };
    assert!(compile(json!(many(256))).is_ok());
    assert!(compile(json!(many(257))).unwrap_err().contains("rules: holds more than 256 rules"));
    let said = compile(json!([{ "host": "a.example", "ports": vec![443; 65] }])).unwrap_err();
    assert!(said.contains("rules[0].ports: holds more than 64 entries"), "{said}");
    let path = format!("/{}", "a".repeat(512));
    let said = compile(json!([{ "host": "a.example", "paths": [path] }])).unwrap_err();
    assert!(said.contains("rules[0].paths[0]: is longer than 512 bytes"), "{said}");
}

#[test]
fn a_policy_keeps_its_form_on_the_wire() {
    let text = r#"{"version":1,"rules":[{"host":"*.pypi.org"},{"host":"a.example","ports":[80],"methods":["GET"],"paths":["/x/*"],"allowed_ips":["10.0.0.0/8"]}],"max_bytes_out":5}"#;
    let spec: PolicySpec = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    assert!(Policy::of(&spec).is_ok());
    for bad in [r#"{"version":2,"rules":[]}"#, r#"{"version":1}"#, r#"{"version":1,"rules":null}"#]
    {
        assert!(serde_json::from_str::<PolicySpec>(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_rule_may_be_joined_by_another_of_the_same_host() {
    let policy = compile(json!([
        { "host": "a.example", "ports": [80], "methods": ["GET"], "allowed_ips": ["10.0.0.0/8"] },
        { "host": "a.example", "ports": [80], "methods": ["POST"], "paths": ["/in"],
          "allowed_ips": ["10.0.0.0/8"] },
        { "host": "*.a.example" },
        { "host": "b.a.example", "allowed_ips": ["192.168.0.0/16"] },
    ]))
    .unwrap();
    let world = World::with(&["10.0.0.1"]);
    let post = |path: &str| {
        let target = format!("http://a.example{path}");
        let request = Request::plain(b"POST", target.as_bytes(), &[b"a.example"]).unwrap();
        world.send(&policy, &request, None)
    };
    assert_eq!(post("/in").unwrap().rule(), "a.example:80 (http POST /in)");
    // Of two refusals, the nearer one is told.
    assert_eq!(post("/out").unwrap_err().reason, Reason::PathNotAllowed);

    let request = Request::connect(b"b.a.example:443", &[]).unwrap();
    let opening = Some(Opening::Tls { server_name: Some(b"b.a.example") });
    let at = |address: &str| World::with(&[address]).send(&policy, &request, opening);
    assert_eq!(at("140.82.112.3").unwrap().rule(), "*.a.example:443");
    assert_eq!(at("192.168.0.1").unwrap().rule(), "b.a.example:443 (TLS or http)");
    // Each rule stands alone: no answer is half by one and half by the other.
    let both = World::with(&["140.82.112.3", "192.168.0.1"]);
    assert_eq!(both.send(&policy, &request, opening).unwrap_err().reason, Reason::AddressRefused);
}

#[test]
fn an_open_tunnel_is_judged_again_by_a_new_policy() {
    let request = Request::connect(b"github.com:443", &[]).unwrap();
    let permit = World::with(&["140.82.112.3"]).send(&policy(), &request, None).unwrap();
    let connected = permit.addresses()[0];
    let narrower = compile(json!([{ "host": "github.com", "allowed_ips": ["140.82.0.0/16"] }]));
    let elsewhere = compile(json!([{ "host": "gitlab.com" }]));
    let again = |policy: Policy| {
        policy.admit(permit.request()).and_then(|admitted| admitted.approve(&[connected])).is_ok()
    };
    assert!(again(narrower.unwrap()) && !again(elsewhere.unwrap()));
}

#[test]
fn addresses_keep_their_order_and_come_once() {
    let world = World::with(&["140.82.112.4", "140.82.112.3", "140.82.112.4"]);
    let request = Request::connect(b"github.com:443", &[]).unwrap();
    let permit = world.send(&policy(), &request, None).unwrap();
    let addresses: Vec<String> = permit.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["140.82.112.4", "140.82.112.3"]);
}

#[test]
fn what_goes_to_the_server_is_made_from_the_target() {
    let read = |target: &str, host: &str| {
        let request = Request::plain(b"GET", target.as_bytes(), &[host.as_bytes()]).unwrap();
        (request.host_header(), request.origin_form().unwrap())
    };
    let pair = |host: &str, path: &str| (host.to_owned(), path.to_owned());
    assert_eq!(read("http://A.Example.?q", "a.example"), pair("a.example", "/?q"));
    assert_eq!(read("http://a.example:80/%c3", "a.example:80"), pair("a.example", "/%C3"));
    assert_eq!(read("http://[fd00::1]:81/", "[FD00::1]:81"), pair("[fd00::1]:81", "/"));
}

#[test]
fn a_denial_tells_an_agent_what_was_refused_and_what_is_allowed() {
    let policy = compile(json!([{ "host": "github.com" }, { "host": "*.pypi.org" }])).unwrap();
    let request = Request::connect(b"evil.example:443", &[]).unwrap();
    let denial = policy.admit(&request).unwrap_err();
    assert_eq!(denial.status(), 403);
    let body: Value = serde_json::from_slice(&denial.body(&policy)).unwrap();
    let expected = json!({
        "error": "egress_denied",
        "reason": "host_not_allowed",
        "message": "evil.example:443: no egress rule has this host",
        "target": "evil.example:443",
        "allowed": ["github.com:443", "*.pypi.org:443"],
        "allowed_omitted": 0,
        "hint": "only what is in `allowed` can be reached from this sandbox; trying again will not \
                 help, and whoever runs the job can add a rule",
    });
    assert_eq!(body, expected);
    let line = serde_json::to_value(denial.audit()).unwrap();
    let expected = json!({
        "decision": "deny", "way": "tunnel", "target": "evil.example:443",
        "reason": "host_not_allowed",
    });
    assert_eq!(line, expected);
}

#[test]
fn a_refused_address_is_named_with_what_it_stands_for() {
    let world = World::with(&["140.82.112.3", "::ffff:127.0.0.1"]);
    let request = Request::connect(b"github.com:443", &[]).unwrap();
    let denial = world.send(&policy(), &request, None).unwrap_err();
    let expected = "github.com:443: an address of the host is not open to the rule: \
                    ::ffff:127.0.0.1 is wrapped and stands for 127.0.0.1, which is loopback";
    assert_eq!(denial.to_string(), expected);
    let line = serde_json::to_value(denial.audit()).unwrap();
    assert_eq!(line["class"], "wrapped");
    assert_eq!(line["addresses"], json!(["::ffff:127.0.0.1"]));
}

#[test]
fn an_odd_spelling_is_named_with_the_address_that_it_means() {
    let denial = Request::connect(b"0xa9fea9fe:80", &[]).unwrap_err();
    let expected = "0xa9fea9fe:80: addresses are written as four decimal numbers: \
                    some read this as 169.254.169.254, which is metadata";
    assert_eq!(denial.to_string(), expected);
}

#[test]
fn no_query_user_or_path_gets_into_a_denial() {
    let policy = policy();
    let attempts = [
        ("http://wiki.corp.example/api/secret/../x?key=secret", "wiki.corp.example"),
        ("http://wiki.corp.example/secret?secret", "wiki.corp.example"),
        ("http://u:secret@wiki.corp.example/", "wiki.corp.example"),
        ("ftp://u:secret@wiki.corp.example/secret", "wiki.corp.example"),
        ("wiki.corp.example/secret", "wiki.corp.example"),
        ("http://wiki.corp.example#secret", "wiki.corp.example"),
        ("/secret", "wiki.corp.example"),
        ("http:\\\\u:secret@wiki.corp.example\\secret", "wiki.corp.example"),
    ];
    for (target, host) in attempts {
        let denial = Request::plain(b"GET", target.as_bytes(), &[host.as_bytes()])
            .and_then(|request| World::with(&["10.1.0.1"]).send(&policy, &request, None))
            .unwrap_err();
        let body = String::from_utf8(denial.body(&policy).to_vec()).unwrap();
        let line = serde_json::to_string(&denial.audit()).unwrap();
        assert!(!body.contains("secret") && !line.contains("secret"), "{target}: {body} {line}");
    }
    let denial = Request::connect(b"u:secret@github.com:443", &[]).unwrap_err();
    assert!(!denial.to_string().contains("secret"), "{denial}");
}

#[test]
fn a_body_lists_so_many_rules_and_says_how_many_more_there_are() {
    let rules: Vec<Value> =
        (0..40).map(|index| json!({ "host": format!("h{index}.example") })).collect();
    let policy = compile(json!(rules)).unwrap();
    let request = Request::connect(b"evil.example:443", &[]).unwrap();
    let body = policy.admit(&request).unwrap_err().body(&policy);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["allowed"].as_array().unwrap().len(), 32);
    assert_eq!(body["allowed_omitted"], 8);
}

#[test]
fn every_reason_has_its_own_code() {
    let codes: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    assert_eq!(codes.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert!(reason.code().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(matches!(reason.status().as_u16(), 400 | 403 | 502));
    }
}
