//! What an operator may say of a provider, and what follows from what was not said.

use super::*;
use serde_json::{Value, json};

fn request(more: Value) -> ProviderRequest {
    let mut body = json!({"version": 1, "name": "p", "type": "openai", "credential": "sk-1"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    serde_json::from_value(body).unwrap()
}

fn faulty(more: Value) -> Vec<String> {
    match request(more).validate() {
        Ok(()) => Vec::new(),
        Err(faults) => faults.iter().map(|fault| fault.field.clone()).collect(),
    }
}

#[test]
fn every_type_has_the_profile_of_its_name() {
    for profile in Profile::all() {
        assert_eq!(profile.kind.profile().name, profile.name);
        assert_eq!(profile.name.parse(), Ok(profile.kind));
        assert_eq!(serde_json::to_value(profile.kind).unwrap(), json!(profile.name));
        assert_eq!(profile.kind.to_string(), profile.name);
    }
    assert!("copilot".parse::<ProviderType>().is_err());
}

#[test]
fn what_is_not_said_is_as_the_profile_says() {
    let spec = request(json!({"type": "anthropic"})).spec();
    assert_eq!(spec.base_url, "https://api.anthropic.com");
    assert_eq!(spec.auth, Auth::Header("x-api-key".into()));
    assert_eq!(spec.headers["anthropic-version"], "2023-06-01");
    assert_eq!(spec.dialects, [Dialect::Anthropic]);
}

#[test]
fn a_key_for_one_that_needs_none_is_shown_as_a_bearer() {
    let ollama = |more| request(more).spec().auth;
    assert_eq!(ollama(json!({"type": "ollama", "credential": null})), Auth::None);
    assert_eq!(ollama(json!({"type": "ollama"})), Auth::Bearer);
    assert_eq!(faulty(json!({"type": "ollama", "auth": "none"})), ["credential"]);
}

#[test]
fn every_faulty_field_is_named() {
    for (more, fields) in [
        (json!({}), &[][..]),
        (json!({"auth": {"header": "X-Key"}, "base_url": "http://a:1/v1"}), &[]),
        (json!({"headers": {"openai-organization": "org 1"}}), &[]),
        (json!({"credential": null}), &["credential"]),
        (json!({"credential": ""}), &["credential"]),
        (json!({"credential": "a b"}), &["credential"]),
        (json!({"credential": "é"}), &["credential"]),
        (json!({"credential": "a".repeat(MAX_CREDENTIAL_BYTES + 1)}), &["credential"]),
        (json!({"type": "openai-compatible"}), &["base_url"]),
        (json!({"base_url": "ftp://a"}), &["base_url"]),
        (json!({"base_url": "unix:///run/podman.sock"}), &["base_url"]),
        (json!({"base_url": "https://"}), &["base_url"]),
        (json!({"base_url": "https://u:p@a"}), &["base_url"]),
        (json!({"base_url": "https://a?key=1"}), &["base_url"]),
        (json!({"base_url": "https://a/../b"}), &["base_url"]),
        (json!({"base_url": "https://a/%2e"}), &["base_url"]),
        (json!({"base_url": "https://a\r\nx: y"}), &["base_url"]),
        (json!({"auth": {"header": "x y"}}), &["auth.header"]),
        (json!({"auth": {"header": "Host"}}), &["auth.header"]),
        (json!({"headers": {"": "x"}}), &["headers."]),
        (json!({"headers": {"X": "a\r\nb"}}), &["headers.X"]),
        (json!({"headers": {"Host": "a"}}), &["headers.Host"]),
        (json!({"headers": {"Authorization": "a"}}), &["headers.Authorization"]),
        (json!({"auth": {"header": "X-K"}, "headers": {"x-k": "a"}}), &["headers.x-k"]),
        (json!({"dialects": []}), &["dialects"]),
        (json!({"dialects": ["openai", "openai"]}), &["dialects"]),
    ] {
        assert_eq!(faulty(more.clone()), fields, "{more}");
    }
}

#[test]
fn a_key_has_no_text_form() {
    let request = request(json!({"credential": " planted-key\n"}));
    assert_eq!(request.credential.as_ref().unwrap().reveal(), "planted-key");
    assert!(!format!("{request:?}").contains("planted"), "{request:?}");
}

#[test]
fn a_patch_changes_what_it_names() {
    let spec = request(json!({})).spec();
    let patch = |more: Value| -> ProviderPatch {
        let mut body = json!({"version": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(body).unwrap()
    };
    let changed = patch(json!({"base_url": "http://b"})).apply(&spec, true).unwrap();
    assert_eq!(changed, ProviderSpec { base_url: "http://b".to_owned(), ..spec.clone() });
    let keyless = patch(json!({"auth": "none"})).apply(&spec, true).unwrap();
    assert_eq!(keyless.auth, Auth::None);
    // The key went with `none`: to be shown again, it has to be given again.
    assert!(patch(json!({"auth": "bearer"})).apply(&keyless, false).is_err());
    let again = patch(json!({"credential": "sk-2"})).apply(&keyless, false).unwrap();
    assert_eq!(again.auth, Auth::Bearer);
    assert!(patch(json!({})).changes_nothing());
}
