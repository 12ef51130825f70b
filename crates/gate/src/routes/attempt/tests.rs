//! A call along its route, told what happens at each target.

use super::*;
use crate::{
    providers::Secret,
    routes::{Access, Breaker, BrokenHop, Hop, Route, RouteTable},
};
use contracts::{ProviderName, provider::ProviderRequest};
use relay::{Dialect, Timeouts, Upstream};
use serde_json::json;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A target at provider `name`, which speaks OpenAI's way.
fn target(name: &str) -> Arc<Target> {
    let body = json!({"version": 1, "name": name, "type": "openai"});
    let request: ProviderRequest = serde_json::from_value(body).unwrap();
    let secret = Secret::new(Zeroizing::new(b"k".to_vec()));
    let access = Access::new(&request.spec(), Some(&secret)).unwrap();
    let upstream = Upstream::new("http://127.0.0.1:9".parse().unwrap(), None, Timeouts::default());
    let reached = (upstream, Timeouts::default());
    let breaker: Arc<Breaker> = Arc::default();
    let dialects = vec![Dialect::OpenAi];
    Arc::new(Target::new(request.name, "m".into(), dialects, reached, breaker, Arc::new(access)))
}

fn works(names: &[&str]) -> Vec<Hop> {
    names.iter().map(|name| Hop::Works(target(name))).collect()
}

fn deleted(name: &str) -> Hop {
    let provider = ProviderName::new(name).unwrap();
    let cause = "was deleted".to_owned();
    Hop::Broken(BrokenHop { provider, model: "m".into(), cause, retry_in: None })
}

fn table(routes: Vec<(&str, Vec<Hop>)>) -> RouteTable {
    let route = |hops| Route { hops, retries: Arc::default() };
    let routes: BTreeMap<_, _> =
        routes.into_iter().map(|(alias, hops)| (alias.to_owned(), route(hops))).collect();
    RouteTable::new(1, routes)
}

fn begin(table: &RouteTable) -> Result<Attempt, RouteError> {
    table.begin("any", None, Dialect::OpenAi, Instant::now())
}

/// The providers that are called when each answers as told, and what comes of it.
fn called(names: &[&str], outcomes: &[Outcome]) -> (Vec<String>, Verdict) {
    let table = table(vec![("default", works(names))]);
    let mut attempt = begin(&table).unwrap();
    let mut called = Vec::new();
    for outcome in outcomes {
        called.push(attempt.target().provider.to_string());
        match attempt.ended(*outcome, Instant::now()) {
            Verdict::Next => {}
            verdict => return (called, verdict),
        }
    }
    panic!("{called:?} and on")
}

#[test]
fn the_next_target_is_tried_when_it_may_do_better() {
    let good = Outcome::Status(200);
    for (first, goes_on, alone) in [
        (good, false, Verdict::Done),
        (Outcome::Connect, true, Verdict::Fail),
        (Outcome::Timeout, true, Verdict::Fail),
        (Outcome::Broken, true, Verdict::Fail),
        (Outcome::Status(429), true, Verdict::Done),
        (Outcome::Status(500), true, Verdict::Done),
        (Outcome::Status(503), true, Verdict::Done),
        (Outcome::Status(529), true, Verdict::Done),
        (Outcome::Status(401), true, Verdict::Fail),
        (Outcome::Status(400), false, Verdict::Done),
        (Outcome::Status(403), false, Verdict::Done),
        (Outcome::Status(404), false, Verdict::Done),
        (Outcome::Client, false, Verdict::Done),
    ] {
        let (seen, verdict) = called(&["a", "b"], &[first, good]);
        assert_eq!((seen.len() == 2, verdict), (goes_on, Verdict::Done), "{first:?}");
        assert_eq!(called(&["a"], &[first]).1, alone, "{first:?} and nobody left");
    }
}

#[test]
fn targets_are_tried_in_their_order_and_each_once() {
    let bad = [Outcome::Connect, Outcome::Status(500), Outcome::Timeout];
    let (seen, verdict) = called(&["a", "b", "c"], &bad);
    assert_eq!((seen, verdict), (vec!["a".into(), "b".into(), "c".into()], Verdict::Fail));
}

#[test]
fn a_failure_names_each_hop_and_its_cause() {
    let table = table(vec![("default", [works(&["a", "b"]), vec![deleted("c")]].concat())]);
    let mut attempt = begin(&table).unwrap();
    let now = Instant::now();
    assert_eq!(attempt.ended(Outcome::Status(401), now), Verdict::Next);
    assert_eq!(attempt.ended(Outcome::Connect, now), Verdict::Fail);
    let error = attempt.failure();
    assert_eq!((error.status().as_u16(), error.code()), (503, "route_broken"));
    let text = error.to_string();
    for part in
        ["'default'", "a (m) refused the node's key", "b (m) can't be reached", "c (m) was deleted"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_target_that_is_left_alone_costs_no_retry_and_no_time() {
    let table = table(vec![("default", works(&["a", "b"]))]);
    let now = Instant::now();
    for _ in 0..5 {
        let mut attempt = begin(&table).unwrap();
        assert_eq!(attempt.target().provider.as_str(), "a");
        // The budget runs dry on the way; the breaker learns all the same.
        attempt.ended(Outcome::Connect, now);
    }
    for _ in 0..100 {
        let mut attempt = begin(&table).unwrap();
        assert_eq!(attempt.target().provider.as_str(), "b");
        assert_eq!(attempt.ended(Outcome::Status(200), now), Verdict::Done);
    }
}

#[test]
fn retries_are_a_fifth_of_the_calls() {
    let table = table(vec![("default", works(&["a", "b"]))]);
    let now = Instant::now();
    let calls = 1000;
    let repeated = (0..calls).filter(|_| {
        let mut attempt = begin(&table).unwrap();
        // 429 opens no breaker, so only the budget bounds it.
        attempt.ended(Outcome::Status(429), now) == Verdict::Next
    });
    let repeated = repeated.count();
    assert!((200..=203).contains(&repeated), "{repeated}");
}

#[test]
fn when_all_are_left_alone_the_call_is_told_when_to_come_again() {
    let table = table(vec![("default", works(&["a"]))]);
    let now = Instant::now();
    for task in ["a", "b", "c", "d", "e"] {
        begin(&table).unwrap().of_task(task).ended(Outcome::Status(500), now);
    }
    let error = begin(&table).unwrap_err();
    assert!(error.to_string().contains("left alone for a while: it answered 500"), "{error}");
    assert!(error.retry_in().is_some());
}

#[test]
fn a_name_finds_its_route_the_default_or_a_refusal() {
    let table = table(vec![
        ("default", works(&["d"])),
        ("fast", works(&["f"])),
        ("dead", vec![deleted("x")]),
    ]);
    let list =
        |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for (name, allowed, found) in [
        ("fast", None, Ok("f")),
        ("gpt-4o", None, Ok("d")),
        ("default", None, Ok("d")),
        ("fast", list(&["fast"]), Ok("f")),
        ("gpt-4o", list(&["fast"]), Err("model_not_found")),
        ("fast", list(&["default"]), Err("model_not_found")),
        ("gpt-4o", list(&["default"]), Ok("d")),
        ("fast", list(&[]), Err("model_not_found")),
        ("dead", None, Err("route_broken")),
    ] {
        let resolved = table.resolve(name, allowed.as_deref());
        let resolved = resolved.map(|targets| targets[0].provider.to_string());
        let resolved = resolved.as_deref().map_err(RouteError::code);
        assert_eq!(resolved, found, "{name} {allowed:?}");
    }
    let empty = RouteTable::default();
    assert_eq!(empty.resolve("x", None).unwrap_err(), RouteError::NoDefault);
    assert_eq!(table.names(list(&["fast", "gone"]).as_deref()), ["fast"]);
}

#[test]
fn who_does_not_speak_the_dialect_is_passed_over() {
    let table = table(vec![("default", works(&["a"]))]);
    let error = table.begin("x", None, Dialect::Anthropic, Instant::now()).unwrap_err();
    assert!(error.to_string().contains("a (m) does not speak anthropic"), "{error}");
}
