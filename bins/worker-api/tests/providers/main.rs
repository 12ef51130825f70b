//! Providers and routes over HTTP, at the program itself: who is let in, what is answered, and where
//! a key is not.

mod node;

use node::{ADMIN, Node, WORKER};
use serde_json::{Value, json};
use std::{
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::PathBuf,
};

const KEY: &str = "planted-key-0123456789";
const NOWHERE: &str = "http://127.0.0.1:9";

fn provider(name: &str) -> Value {
    json!({"version": 1, "name": name, "type": "openai", "base_url": NOWHERE,
           "credential": KEY, "validate": false})
}

fn route() -> Value {
    json!({"version": 1, "provider": "p", "model": "m", "validate": false})
}

#[tokio::test]
async fn only_the_admin_is_let_in() {
    let node = Node::start(&[("WORKER_API_ADMIN_TOKEN", ADMIN)]).await;
    for path in ["/v1/providers", "/v1/providers/p", "/v1/inference", "/v1/inference/routes"] {
        for (token, status, kind) in [
            (None, 401, "authentication"),
            (Some("wrong"), 401, "authentication"),
            (Some(WORKER), 403, "authorization"),
        ] {
            let (answered, problem) = node.ask("GET", path, token, None).await;
            assert_eq!(answered, status, "{path} {token:?}");
            assert_eq!(problem["type"], format!("urn:cynodeai:error:{kind}"));
        }
    }
    let (status, list) = node.ask("GET", "/v1/providers", Some(ADMIN), None).await;
    assert_eq!((status, &list["providers"]), (200, &json!([])));
    // Who configures providers does not run jobs.
    assert_eq!(node.ask("GET", "/v1/worker/jobs", Some(ADMIN), None).await.0, 401);
}

#[tokio::test]
async fn a_node_without_an_admin_token_says_so() {
    let node = Node::start(&[]).await;
    let (status, problem) = node.ask("GET", "/v1/providers", Some(WORKER), None).await;
    assert_eq!(status, 403);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("WORKER_API_ADMIN_TOKEN"), "{detail}");
}

#[tokio::test]
async fn records_are_made_changed_and_deleted() {
    let node = Node::start(&[("WORKER_API_ADMIN_TOKEN", ADMIN)]).await;
    let steps = [
        ("POST", "/v1/providers", Some(provider("p")), 201),
        ("POST", "/v1/providers", Some(provider("p")), 409),
        ("POST", "/v1/providers", Some(json!({"version": 1})), 400),
        ("GET", "/v1/providers/p", None, 200),
        ("GET", "/v1/providers/q", None, 404),
        ("GET", "/v1/providers/a%2Fb", None, 400),
        ("PUT", "/v1/providers/p", None, 405),
        ("GET", "/v1/inference", None, 404),
        ("PUT", "/v1/inference", Some(route()), 200),
        (
            "PATCH",
            "/v1/inference",
            Some(json!({"version": 1, "model": "n", "validate": false})),
            200,
        ),
        ("PUT", "/v1/inference/routes/meta/small:1", Some(route()), 200),
        ("GET", "/v1/inference/routes/meta%2Fsmall:1", None, 200),
        ("GET", "/v1/inference/routes", None, 200),
        ("DELETE", "/v1/providers/p", None, 409),
        ("DELETE", "/v1/providers/p?force=maybe", None, 400),
        ("DELETE", "/v1/inference/routes/meta/small:1", None, 204),
        ("DELETE", "/v1/inference/routes/meta/small:1", None, 404),
        ("DELETE", "/v1/providers/p?force=true", None, 204),
        ("GET", "/v1/providers/p", None, 404),
        ("GET", "/v1/inference", None, 200),
    ];
    for (number, (method, path, body, status)) in steps.into_iter().enumerate() {
        let (answered, answer) = node.ask(method, path, Some(ADMIN), body).await;
        assert_eq!(answered, status, "step {number}: {method} {path}: {answer}");
        assert!(!answer.to_string().contains("planted"), "{answer}");
    }
    let (_, default) = node.ask("GET", "/v1/inference", Some(ADMIN), None).await;
    assert_eq!((&default["model"], &default["revision"]), (&json!("n"), &json!(2)));
    assert_eq!(default["targets"][0]["broken"], "was deleted");
}

#[tokio::test]
async fn a_provider_that_fails_its_test_is_not_saved() {
    let node = Node::start(&[("WORKER_API_ADMIN_TOKEN", ADMIN)]).await;
    let mut request = provider("p");
    request["validate"] = json!(true);
    let (status, problem) = node.ask("POST", "/v1/providers", Some(ADMIN), Some(request)).await;
    assert_eq!((status, &problem["phase"]), (422, &json!("validate")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("can't be reached"), "{detail}");
    assert_eq!(node.ask("GET", "/v1/providers/p", Some(ADMIN), None).await.0, 404);

    node.ask("POST", "/v1/providers", Some(ADMIN), Some(provider("p"))).await;
    let asked = Some(json!({"version": 1}));
    let (status, probe) = node.ask("POST", "/v1/providers/p:test", Some(ADMIN), asked).await;
    assert_eq!((status, &probe["ok"], &probe["fault"]), (200, &json!(false), &json!("connection")));
}

#[tokio::test]
async fn a_key_is_in_no_file_and_in_no_line_of_the_log() {
    let node = Node::start(&[("WORKER_API_ADMIN_TOKEN", ADMIN), ("LOG_LEVEL", "trace")]).await;
    node.ask("POST", "/v1/providers", Some(ADMIN), Some(provider("p"))).await;
    node.ask("PUT", "/v1/inference", Some(ADMIN), Some(route())).await;
    let (_, lines) = node.ask("GET", "/v1/worker/telemetry/logs", Some(WORKER), None).await;
    assert!(!lines.to_string().contains("planted"), "{lines}");
    let stopped = node.stop().await;
    assert!(stopped.log.contains("a provider was saved"), "{}", stopped.log);
    assert!(!stopped.log.contains("planted"), "{}", stopped.log);
    for file in stopped.files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"), "{}", file.display());
    }
}

#[tokio::test]
async fn a_node_that_crashes_leaves_no_core_and_no_key() {
    let node =
        Node::start_for_a_crash(&[("WORKER_API_ADMIN_TOKEN", ADMIN), ("LOG_LEVEL", "trace")]).await;
    node.ask("POST", "/v1/providers", Some(ADMIN), Some(provider("p"))).await;
    node.ask("PUT", "/v1/inference", Some(ADMIN), Some(route())).await;

    let limits = std::fs::read_to_string(node.told("limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core, ["0", "0", "bytes"], "no file, and no way back");
    // The memory of a process that is not dumpable is root's, whoever runs it: its own user's other
    // processes can't read it, and the kernel writes no core, by a pipe as little as to a file.
    let owner = std::fs::metadata(node.told("mem")).unwrap().uid();
    let user = std::fs::read_to_string(node.told("status")).unwrap();
    let user = user.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert!(!user.trim().starts_with("0\t"), "a user without rights: {user}");
    assert_eq!(owner, 0, "its memory is its user's to read");

    let (status, ended) = node.crash();
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped(), "{status}");
    assert!(ended.log.contains("a provider was saved") && !ended.log.contains("planted"));
    assert_eq!(ended.left(), [] as [PathBuf; 0], "beside its state");
    let files = ended.files();
    let log = |file: &PathBuf| file.to_string_lossy().ends_with("-wal");
    assert!(files.iter().any(log), "the database's log is looked at too: {files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"), "{}", file.display());
    }
}

#[tokio::test]
async fn the_key_of_keys_is_the_same_at_every_start_or_there_is_none() {
    let node = Node::start(&[("WORKER_API_ADMIN_TOKEN", ADMIN)]).await;
    node.ask("POST", "/v1/providers", Some(ADMIN), Some(provider("p"))).await;
    let stopped = node.stop().await;

    let other = "0".repeat(64);
    let wrong = Node::start_on(stopped.folder, &[("PROVIDER_KEY", &other)]).await;
    let Err(ended) = wrong else { panic!("it starts with another key") };
    assert!(ended.log.contains("the provider key is not the one that sealed"), "{}", ended.log);

    std::fs::remove_file(ended.folder.path().join("state/provider.key")).unwrap();
    let Err(ended) = Node::start_on(ended.folder, &[]).await else { panic!("it makes a new key") };
    assert!(ended.log.contains("is gone, and the store holds keys"), "{}", ended.log);
}
