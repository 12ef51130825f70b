//! What an operator may say of a route.

use super::*;
use serde_json::{Value, json};

fn body(more: Value) -> Value {
    let mut body = json!({"version": 1});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn spec(more: Value) -> Result<RouteSpec, Vec<String>> {
    let request: RouteRequest = serde_json::from_value(body(more)).unwrap();
    request.spec().map_err(|faults| faults.iter().map(|fault| fault.field.clone()).collect())
}

#[test]
fn a_route_is_one_model_or_several_in_order() {
    let one = spec(json!({"provider": "p", "model": "meta/llama-3.1-8b-instruct"})).unwrap();
    assert_eq!(one.targets.len(), 1);
    let targets = json!([{"provider": "p", "model": "a"}, {"provider": "q", "model": "b"}]);
    let two = spec(json!({ "targets": targets, "timeouts": {"first_byte_ms": 5} })).unwrap();
    assert_eq!((two.targets[1].model.as_str(), two.timeouts.first_byte_ms), ("b", Some(5)));
}

#[test]
fn every_faulty_field_is_named() {
    let target = json!({"provider": "p", "model": "a"});
    for (more, field) in [
        (json!({}), "targets"),
        (json!({"provider": "p"}), "model"),
        (json!({"model": "m"}), "provider"),
        (json!({"provider": "p", "model": "m", "targets": [target]}), "targets"),
        (json!({"provider": "p", "model": ""}), "model"),
        (json!({"provider": "p", "model": "a b"}), "model"),
        (json!({"provider": "p", "model": "a".repeat(257)}), "model"),
        (json!({"targets": [target, target]}), "targets[1]"),
        (json!({"provider": "p", "model": "m", "timeouts": {"idle_ms": 0}}), "timeouts.idle_ms"),
    ] {
        assert_eq!(spec(more.clone()), Err(vec![field.to_owned()]), "{more}");
    }
    let many: Vec<Value> =
        (0..=MAX_TARGETS).map(|n| json!({"provider": "p", "model": n.to_string()})).collect();
    assert_eq!(spec(json!({ "targets": many })), Err(vec!["targets".to_owned()]));
}

#[test]
fn an_update_changes_what_it_names() {
    let before = spec(json!({"provider": "p", "model": "a"})).unwrap();
    let patched = |more: Value| {
        let patch: RoutePatch = serde_json::from_value(body(more)).unwrap();
        patch.apply(&before)
    };
    let after = patched(json!({"model": "b"})).unwrap();
    assert_eq!((after.targets[0].provider.as_str(), after.targets[0].model.as_str()), ("p", "b"));
    assert_eq!(patched(json!({})).unwrap(), before);
    assert!(patched(json!({"targets": []})).is_err());
    assert!(patched(json!({"model": "b", "targets": []})).is_err());
}

#[test]
fn an_alias_reads_like_a_model() {
    for good in ["default", "gpt-4o", "meta/llama-3.1:8b", "a@1"] {
        assert!(RouteAlias::new(good).is_ok(), "{good}");
    }
    let long = "a".repeat(MAX_ALIAS_BYTES + 1);
    for bad in ["", "a b", "/a", "a//b", "../a", "a\n", "é", long.as_str()] {
        assert!(RouteAlias::new(bad).is_err(), "{bad:?}");
    }
}
