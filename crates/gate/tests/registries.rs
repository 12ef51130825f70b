//! Packages through two doors of one gate, from a registry that is slow with some of its files.

use contracts::packages::Registry;
use gate::{
    BodyPolicy, Door, Fetching, Gate, ModelMap, Outside, Packages, PackagesConfig, Policy, Tenant,
    Unlisted,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);
/// More than the node downloads at a time.
const MANY: usize = 40;

#[tokio::test]
async fn a_job_that_asks_for_many_files_leaves_places_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let (began, mut begun) = watch::channel(0);
    let (url, _serving) = registry(began).await;
    let gate = gate(folder.path(), &url);
    let (greedy, modest) = (folder.path().join("greedy"), folder.path().join("modest"));
    let _doors = [door(&gate, &greedy), door(&gate, &modest)];
    let mut asking = Vec::new();
    for number in 0..MANY {
        asking.push(asked(&greedy, &format!("slow-{number}")).await);
    }
    timeout(LIMIT, begun.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    let mut answer = String::new();
    let mut other = asked(&modest, "quick").await;
    timeout(LIMIT, other.read_to_string(&mut answer)).await.expect("it is served").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("quick"), "{answer}");
}

#[tokio::test]
async fn who_asks_how_long_a_file_is_pays_for_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _serving) = registry(watch::Sender::new(0)).await;
    let socket = folder.path().join("gate.sock");
    let door = door(&gate(folder.path(), &url), &socket);
    for (method, bytes) in [("HEAD", 0), ("GET", 5)] {
        let before = door.fetched().unwrap().bytes_in;
        let mut answer = String::new();
        let mut client = asked_by(method, &socket, "quick").await;
        timeout(LIMIT, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.to_lowercase().contains("content-length: 5\r\n"), "{answer}");
        assert_eq!(answer.ends_with("quick"), method == "GET", "{answer}");
        // One more byte: who has none left is not served.
        assert_eq!(door.fetched().unwrap().bytes_in - before, bytes + 1, "{method}");
    }
}

/// Says its file's name, or nothing.
async fn registry(began: watch::Sender<usize>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(served(stream, began.clone()));
        }
    });
    (url, serving)
}

async fn served(mut stream: TcpStream, began: watch::Sender<usize>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap() == 0 {
            return;
        }
    }
    if String::from_utf8_lossy(&head).contains("/quick ") {
        let said = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nquick";
        stream.write_all(said.as_bytes()).await.unwrap();
        return;
    }
    began.send_modify(|count| *count += 1);
    std::future::pending().await
}

fn gate(folder: &Path, url: &str) -> Gate {
    let packages = PackagesConfig {
        pypi: None,
        pypi_files: Vec::new(),
        npm: None,
        debian: Some(url.parse().unwrap()),
        debian_security: None,
        folder: folder.join("packages"),
        max_bytes: 1 << 20,
        max_entries: 100,
        max_file_bytes: 1 << 20,
        trust: None,
        timeouts: relay::Timeouts::default(),
    };
    let policy = Policy {
        upstream: None,
        models: ModelMap::new([], Unlisted::Refused),
        bodies: BodyPolicy::default(),
        caps: Default::default(),
        max_body_bytes: 1024,
        body_time: LIMIT,
    };
    let (_routes, watched) = watch::channel(Arc::default());
    Gate::new(policy, watched, Outside::default()).with_packages(Packages::open(packages).unwrap())
}

fn door(gate: &Gate, socket: &Path) -> Door {
    let door = gate.open(UnixListener::bind(socket).unwrap());
    let fetching = Fetching::new(Arc::default());
    fetching.set_packages(std::iter::once(Registry::Debian).collect());
    let (task, job) = ("t".into(), "j".into());
    assert!(door.admit(Tenant { task, job, budget: None, fetching, models: None }));
    door
}

async fn asked(socket: &Path, file: &str) -> UnixStream {
    asked_by("GET", socket, file).await
}

async fn asked_by(method: &str, socket: &Path, file: &str) -> UnixStream {
    let mut client = UnixStream::connect(socket).await.unwrap();
    let request = format!(
        "{method} /packages/debian/pool/{file} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client
}
