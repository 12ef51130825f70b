//! The catalogue over a real store, and a provider that looks at its key.

mod provider;

use super::*;
use crate::routes::RouteError;
use contracts::{
    Version,
    provider::{ProbeFault, ProbeRequest, ProviderPatch, ProviderRequest},
    route::{RoutePatch, RouteRequest},
};
use provider::Provider;
use relay::Dialect;
use serde_json::{Value, json};
use std::{path::Path, time::Instant};

const KEY: &str = "planted-key-0123456789";

fn with(more: Value) -> Value {
    let mut body = json!({"version": 1});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn request(name: &str, url: &str, more: Value) -> ProviderRequest {
    let mut body =
        with(json!({"name": name, "type": "openai", "base_url": url, "credential": KEY}));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

fn patch(more: Value) -> ProviderPatch {
    serde_json::from_value(with(more)).unwrap()
}

fn route(more: Value) -> RouteRequest {
    serde_json::from_value(with(more)).unwrap()
}

fn name(text: &str) -> ProviderName {
    ProviderName::new(text).unwrap()
}

fn source(digit: &str) -> KeySource {
    KeySource::Given(digit.repeat(64).into())
}

async fn open(folder: &Path) -> Catalog {
    Catalog::open(Store::open(folder).unwrap(), &source("1"), None).await.unwrap()
}

/// The key that a call by this name would show now.
fn shown(catalog: &Catalog, alias: &str) -> Result<String, RouteError> {
    let attempt = catalog.table().begin(alias, None, Dialect::OpenAi, Instant::now())?;
    let mut headers = http::HeaderMap::new();
    attempt.target().dress(&mut headers);
    Ok(headers["authorization"].to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_provider_and_a_route_make_a_target_and_survive_a_restart() {
    let (folder, provider) = (tempfile::tempdir().unwrap(), Provider::start(KEY).await);
    {
        let catalog = open(folder.path()).await;
        assert_eq!(shown(&catalog, "x").unwrap_err(), RouteError::NoDefault);
        let view = catalog.create_provider(request("p", &provider.url(), json!({}))).await.unwrap();
        assert_eq!((view.has_credential, view.revision), (true, 1));
        let set = route(json!({"provider": "p", "model": "good"}));
        catalog.set_route(RouteAlias::default_route(), set).await.unwrap();
    }
    let catalog = open(folder.path()).await;
    assert_eq!(shown(&catalog, "any").unwrap(), format!("Bearer {KEY}"));
    let update: RoutePatch = serde_json::from_value(with(json!({"model": "better"}))).unwrap();
    let view = catalog.update_route(RouteAlias::default_route(), update).await.unwrap();
    assert_eq!((view.model.as_str(), view.revision), ("better", 2));
    assert_eq!(catalog.table().resolve("any", None).unwrap()[0].model, "better");
}

#[tokio::test]
async fn what_fails_its_test_is_not_saved_unless_it_is_not_asked_for() {
    let (folder, provider) = (tempfile::tempdir().unwrap(), Provider::start(KEY).await);
    let catalog = open(folder.path()).await;
    let url = provider.url();
    let wrong = json!({"credential": "wrong"});
    let error = catalog.create_provider(request("p", &url, wrong.clone())).await.unwrap_err();
    let CatalogError::Probe(probe) = &error else { panic!("{error:?}") };
    assert_eq!((probe.fault, probe.status), (Some(ProbeFault::Credential), Some(401)));
    assert_eq!(error.problem().status, 422);
    assert!(catalog.provider(&name("p")).await.is_err());

    let mut request = request("p", &url, wrong);
    request.validate = false;
    catalog.create_provider(request).await.unwrap();
    let probe = ProbeRequest { version: Version, model: None };
    assert!(!catalog.test_provider(&name("p"), probe.clone()).await.unwrap().ok);

    catalog.update_provider(&name("p"), patch(json!({"credential": KEY}))).await.unwrap();
    assert!(catalog.test_provider(&name("p"), probe).await.unwrap().ok);
    let set = route(json!({"provider": "p", "model": "missing"}));
    let error = catalog.set_route(RouteAlias::default_route(), set).await.unwrap_err();
    let CatalogError::Probe(probe) = &error else { panic!("{error:?}") };
    assert_eq!(probe.fault, Some(ProbeFault::Model));
    for model in ["good", "counts-otherwise", "embeds-only"] {
        let set = route(json!({"provider": "p", "model": model}));
        catalog.set_route(RouteAlias::default_route(), set).await.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_a_connection_fault() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = open(folder.path()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = catalog.create_provider(request("p", &url, json!({}))).await.unwrap_err();
    let CatalogError::Probe(probe) = error else { panic!("{error:?}") };
    assert_eq!((probe.fault, probe.status), (Some(ProbeFault::Connection), None));
}

#[tokio::test]
async fn a_corrected_key_is_shown_from_the_next_call_on() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let before = catalog.table();
    let update = patch(json!({"credential": "corrected", "validate": false}));
    let view = catalog.update_provider(&name("p"), update).await.unwrap();
    assert_eq!(view.revision, 2);
    assert_eq!(shown(&catalog, "any").unwrap(), "Bearer corrected");
    // A call that has begun keeps what it began with.
    assert!(before.resolve("any", None).is_ok() && before.generation < catalog.table().generation);
}

#[tokio::test]
async fn a_provider_in_use_goes_with_force_only_and_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let error = catalog.delete_provider(name("p"), false).await.unwrap_err();
    assert_eq!(error.problem().status, 409);
    assert!(error.to_string().contains("default"), "{error}");
    assert!(shown(&catalog, "any").is_ok());
    catalog.delete_provider(name("p"), true).await.unwrap();
    let error = shown(&catalog, "any").unwrap_err();
    assert!(error.to_string().contains("p (good) was deleted"), "{error}");
    let view = catalog.route(&RouteAlias::default_route()).await.unwrap();
    assert_eq!(view.targets[0].broken.as_deref(), Some("was deleted"));
    // Made anew under its name, it is the route's again: another key, and nothing of the old one.
    catalog.create_provider(unvalidated("p", "another")).await.unwrap();
    assert_eq!(shown(&catalog, "any").unwrap(), "Bearer another");
}

#[tokio::test]
async fn a_change_for_another_revision_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let change = |revision: u64| {
        patch(json!({"headers": {"x-a": "b"}, "revision": revision, "validate": false}))
    };
    catalog.update_provider(&name("p"), change(1)).await.unwrap();
    let error = catalog.update_provider(&name("p"), change(1)).await.unwrap_err();
    assert!(matches!(error, CatalogError::Overtaken(2)), "{error:?}");
    let error = catalog.create_provider(unvalidated("p", "k")).await.unwrap_err();
    assert!(matches!(error, CatalogError::Exists(_)), "{error:?}");
    let set = route(json!({"provider": "nobody", "model": "m", "validate": false}));
    let error = catalog.set_route(RouteAlias::default_route(), set).await.unwrap_err();
    assert_eq!(error.problem().status, 422);
}

#[tokio::test]
async fn another_key_is_found_out_at_the_start_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(seeded(folder.path()).await);
    let wrong = Catalog::open(Store::open(folder.path()).unwrap(), &source("2"), None).await;
    assert!(matches!(wrong, Err(CatalogError::WrongKey)));
    let catalog = open(folder.path()).await;
    assert_eq!(shown(&catalog, "any").unwrap(), format!("Bearer {KEY}"));
    // Once there is nothing that only the old one opens, the new one is as good.
    catalog.delete_provider(name("p"), true).await.unwrap();
    drop(catalog);
    let store = Store::open(folder.path()).unwrap();
    let catalog = Catalog::open(store, &source("2"), None).await.unwrap();
    catalog.create_provider(unvalidated("p", "another")).await.unwrap();
    assert_eq!(shown(&catalog, "any").unwrap(), "Bearer another");
}

#[tokio::test]
async fn a_key_that_was_moved_to_another_row_opens_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    catalog.create_provider(unvalidated("q", "of-q")).await.unwrap();
    {
        let mut rows = catalog.inner.rows.lock().await;
        let stolen = rows.providers[&name("q")].credential.clone();
        rows.providers.get_mut(&name("p")).unwrap().credential = stolen;
        catalog.inner.swap(&mut rows);
    }
    let error = shown(&catalog, "any").unwrap_err();
    assert!(error.to_string().contains("has a key that can't be opened"), "{error}");
}

#[tokio::test]
async fn no_file_of_the_store_holds_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let update = patch(json!({"credential": "planted-key-again", "validate": false}));
    catalog.update_provider(&name("p"), update).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert!(files.len() >= 2, "the log is read too: {files:?}");
    for file in files {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"planted-key"), "{file:?}");
    }
    let views = format!("{:?} {:?}", catalog.providers().await, catalog.table());
    assert!(!views.contains("planted"), "{views}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_swaps_disturb_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let catalog = catalog.clone();
        readers.spawn(async move {
            while catalog.table().generation < 1_000 {
                assert!(shown(&catalog, "any").is_ok());
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..1_000 {
        let mut rows = catalog.inner.rows.lock().await;
        catalog.inner.swap(&mut rows);
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn connections_and_breakers_outlive_a_table_and_end_with_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = seeded(folder.path()).await;
    let breaker =
        |catalog: &Catalog| Arc::as_ptr(&catalog.table().resolve("any", None).unwrap()[0].breaker);
    let first = breaker(&catalog);
    let other = route(json!({"provider": "p", "model": "m", "validate": false}));
    catalog.set_route(RouteAlias::new("other").unwrap(), other).await.unwrap();
    assert_eq!(breaker(&catalog), first);
    let kept = catalog.table();
    let update = patch(json!({"credential": "k", "validate": false}));
    catalog.update_provider(&name("p"), update).await.unwrap();
    assert_ne!(breaker(&catalog), first, "{kept:?}");
}

fn unvalidated(name: &str, key: &str) -> ProviderRequest {
    let nowhere = "http://127.0.0.1:9";
    request(name, nowhere, json!({"credential": key, "validate": false}))
}

/// A catalogue whose default route leads to a provider that nobody asks.
async fn seeded(folder: &Path) -> Catalog {
    let catalog = open(folder).await;
    catalog.create_provider(unvalidated("p", KEY)).await.unwrap();
    let set = route(json!({"provider": "p", "model": "good", "validate": false}));
    catalog.set_route(RouteAlias::default_route(), set).await.unwrap();
    catalog
}
