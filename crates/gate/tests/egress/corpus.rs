//! Hostile targets: every one is refused before a connection, for the reason that its row says.

use crate::{
    Attempt::{self, Ask, Connect, ConnectHost, Get, GetResolved, Hello, Http, Raw, Resolved},
    World, policy, reason,
};
use std::collections::HashSet;

mod addresses;
mod names;
mod requests;

/// The rows of every table.
fn rows() -> impl Iterator<Item = (Attempt, &'static str)> {
    [names::ROWS, addresses::ROWS, requests::ROWS].into_iter().flatten().copied()
}

#[test]
fn every_hostile_target_is_refused_for_its_reason() {
    let policy = policy();
    let mut wrong = Vec::new();
    for (attempt, expected) in rows() {
        let world = World::with(attempt.addresses());
        let got = match attempt.make(&policy, &world) {
            Ok(permit) => format!("allowed: {permit:?}"),
            Err(denial) => reason(&denial),
        };
        if got != expected {
            wrong.push(format!("{attempt:?}: expected {expected}, got {got}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_names_of_rules_are_ever_resolved() {
    let policy = policy();
    let known = [
        "github.com",
        "api.example.com",
        "files.pypi.org",
        "a.b.pypi.org",
        "db.corp.example",
        "wiki.corp.example",
        "files.corp.example",
        "meta.corp.example",
        "xn--bcher-kva.example",
    ];
    for (attempt, _) in rows() {
        let world = World::with(attempt.addresses());
        let _refused = attempt.make(&policy, &world);
        for name in world.asked.take() {
            assert!(known.contains(&name.as_str()), "{attempt:?} asked for {name}");
        }
    }
}

#[test]
fn the_corpus_is_as_large_as_promised_and_repeats_nothing() {
    let mut seen = HashSet::new();
    for (attempt, _) in rows() {
        assert!(seen.insert(format!("{attempt:?}")), "{attempt:?} is there twice");
    }
    assert!(seen.len() >= 150, "only {} rows", seen.len());
}

#[test]
fn a_refusal_can_always_be_shown() {
    let policy = policy();
    for (attempt, _) in rows() {
        let world = World::with(attempt.addresses());
        let denial = attempt.make(&policy, &world).unwrap_err();
        let body: serde_json::Value = serde_json::from_slice(&denial.body(&policy)).unwrap();
        assert_eq!(body["error"], "egress_denied");
        assert_eq!(body["reason"], denial.reason.code());
        assert_eq!(body["allowed"].as_array().unwrap().len(), 11);
        // Nothing that a terminal or a log obeys, and nothing without an end.
        let line = serde_json::to_string(&denial.audit()).unwrap();
        assert!(line.len() < 2048 && line.chars().all(|char| !char.is_control()), "{line}");
        assert!(denial.status().is_client_error() || denial.status().is_server_error());
    }
}

/// What a table of rows is.
type Rows = &'static [(Attempt, &'static str)];
