//! Routes that change while calls are on their way: no call fails, none waits, none is mixed up.
//!
//! Everything is real but the sandbox: the catalogue over its store, the gate's socket, and providers
//! that look at the key and the model of each call.

#[path = "../shared/routed.rs"]
mod routed;
mod upstream;

use contracts::RouteAlias;
use gate::{
    Gate, Outside,
    providers::{Catalog, KeySource},
};
use routed::{policy, tenant};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use upstream::Provider;

const SWAPS: u64 = 10_000;
/// Routes that change at the same time, each by an operator of its own.
const ROUTES: u64 = 5;
const STREAMS: u64 = 100;
/// Calls whose answers do not begin before the last swap.
const HELD: u64 = ROUTES;
/// Who makes call after call meanwhile.
const CALLERS: usize = 2;

/// Between two of their calls: they are not what is measured.
const PAUSE: Duration = Duration::from_millis(20);

/// Silence within a stream, and the time of a whole call or of one swap. Frames come every 200 ms; the
/// rest is for a machine that has other things to do. Who waits for another's end waits far longer.
const STALL: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_swaps_during_a_hundred_streams_fail_and_stall_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (end, ended) = watch::channel(false);
    let providers =
        [Provider::start("a", ended.clone()).await, Provider::start("b", ended.clone()).await];
    let catalog = catalog(folder.path(), &providers).await;
    for alias in 0..ROUTES {
        route(&catalog, alias, "a").await;
    }
    let socket = folder.path().join("gate.sock");
    let gate = Gate::new(policy(), catalog.watch(), Outside::default());
    let door = gate.open(UnixListener::bind(&socket).unwrap());
    assert!(door.admit(tenant()));

    let (began, mut begun) = watch::channel(0);
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        streams.spawn(stream(socket.clone(), number % ROUTES, began.clone()));
    }
    let all = begun.wait_for(|count| *count == STREAMS);
    timeout(LIMIT, all).await.expect("all streams begin").unwrap();
    let mut held = JoinSet::new();
    for number in 0..HELD {
        held.spawn(call(socket.clone(), number % ROUTES, upstream::HELD));
    }
    let reached = async {
        let mut holds = providers.each_ref().map(|provider| provider.holds.subscribe());
        for (provider, expected) in holds.iter_mut().zip([HELD, 0]) {
            provider.wait_for(|count| *count == expected).await.unwrap();
        }
    };
    timeout(STALL, reached).await.expect("the provider has all calls that it will hold");
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(calls(socket.clone(), ended.clone()));
    }

    let first = catalog.table().generation;
    let mut operators = JoinSet::new();
    for alias in 0..ROUTES {
        operators.spawn(swaps(catalog.clone(), alias));
    }
    let all = async { while operators.join_next().await.transpose().unwrap().is_some() {} };
    let swapped = timeout(LIMIT, all).await;
    assert!(swapped.is_ok(), "{} swaps were made", catalog.table().generation - first);
    assert_eq!(catalog.table().generation, first + SWAPS);
    assert!(streams.try_join_next().is_none(), "all streams have seen all swaps");
    assert!(held.try_join_next().is_none(), "and so have all calls without an answer");
    end.send_replace(true);

    let mut frames = 0;
    while let Some(ended) = streams.join_next().await {
        frames += ended.unwrap();
    }
    let mut served = 0;
    while let Some(ended) = held.join_next().await {
        assert!(ended.unwrap().starts_with("HTTP/1.1 200 "));
        served += 1;
    }
    while let Some(ended) = callers.join_next().await {
        served += ended.unwrap();
    }
    assert!(frames > STREAMS && served > HELD, "{frames} frames, {served} calls");
    let usage = door.usage().unwrap();
    assert_eq!(usage.requests, STREAMS + served);
    assert_eq!((usage.refused, usage.unfinished), (0, 0));
    door.close().await;
}

async fn catalog(folder: &Path, providers: &[Provider; 2]) -> Catalog {
    let key = KeySource::Given("1".repeat(64).into());
    let catalog = Catalog::open(Store::open(folder).unwrap(), &key, None).await.unwrap();
    for (name, provider) in ["a", "b"].into_iter().zip(providers) {
        let request = json!({"version": 1, "name": name, "type": "openai", "validate": false,
                             "base_url": provider.url, "credential": provider.key});
        catalog.create_provider(serde_json::from_value(request).unwrap()).await.unwrap();
    }
    catalog
}

/// As an operator sets it: checked, committed, swapped.
async fn route(catalog: &Catalog, alias: u64, provider: &str) {
    let model = format!("model-of-{provider}");
    let request = json!({"version": 1, "provider": provider, "model": model, "validate": false,
                         "timeouts": {"first_byte_ms": LIMIT.as_millis() as u64}});
    let request = serde_json::from_value(request).unwrap();
    let alias = RouteAlias::new(named(alias)).unwrap();
    catalog.set_route(alias, request).await.unwrap();
}

async fn swaps(catalog: Catalog, alias: u64) {
    for number in 0..SWAPS / ROUTES {
        let provider = if number % 2 == 0 { "b" } else { "a" };
        // The calls end after the last swap, so one that waits for a call waits for ever.
        let swap = timeout(STALL, route(&catalog, alias, provider)).await;
        assert!(swap.is_ok(), "swap {number} of {} waits for somebody", named(alias));
    }
}

/// The first one serves every name that has no route of its own.
fn named(alias: u64) -> String {
    match alias {
        0 => RouteAlias::DEFAULT.to_owned(),
        _ => format!("route-{alias}"),
    }
}

async fn ask(socket: &Path, alias: u64, stream: bool, words: &str) -> UnixStream {
    let messages = json!([{"role": "user", "content": words}]);
    let body = json!({"model": named(alias), "stream": stream, "messages": messages}).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = UnixStream::connect(socket).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// One stream from its first byte to its last: how many frames it had.
async fn stream(socket: PathBuf, alias: u64, began: watch::Sender<u64>) -> u64 {
    let mut connection = ask(&socket, alias, true, "").await;
    let mut read = String::new();
    let mut piece = [0; 4096];
    loop {
        let silence = Instant::now();
        // Until all have begun, a stream may wait for its place on a busy machine.
        let limit = if *began.borrow() == STREAMS { STALL } else { LIMIT };
        let count = timeout(limit, connection.read(&mut piece)).await;
        let count = count.unwrap_or_else(|_| panic!("silent for {:?}", silence.elapsed())).unwrap();
        if count == 0 {
            break;
        }
        if read.is_empty() {
            began.send_modify(|count| *count += 1);
        }
        read += std::str::from_utf8(&piece[..count]).unwrap();
    }
    assert!(read.starts_with("HTTP/1.1 200 "), "{read}");
    assert!(read.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"), "{read}");
    let frames: Vec<Value> = read
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|data| serde_json::from_str(&format!("{{{data}")).unwrap())
        .collect();
    let said = |frame: &Value| frame["choices"][0]["delta"]["content"].as_str().unwrap().to_owned();
    let said: Vec<String> = frames.iter().map(said).collect();
    let last = said.len() - 1;
    let expected = (0..last).map(|number| format!("number {number}"));
    assert_eq!(said, expected.chain([format!("all {last}")]).collect::<Vec<_>>());
    said.len() as u64
}

/// The whole answer to one call.
async fn call(socket: PathBuf, alias: u64, words: &str) -> String {
    let mut answer = String::new();
    ask(&socket, alias, false, words).await.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Call after call until the end: how many there were.
async fn calls(socket: PathBuf, mut ended: watch::Receiver<bool>) -> u64 {
    let mut served = 0;
    while !*ended.borrow_and_update() {
        let answer = timeout(STALL, call(socket.clone(), served % ROUTES, "")).await;
        let answer = answer.expect("a new call waits for nobody");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // Whoever answered is the one that the gate says it was; its key was looked at by itself.
        let model = answer.lines().find_map(|line| line.strip_prefix("x-pinfold-model: "));
        assert!(answer.contains(&format!("\"model\":\"{}\"", model.unwrap())), "{answer}");
        served += 1;
        tokio::time::sleep(PAUSE).await;
    }
    served
}
