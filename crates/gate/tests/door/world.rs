//! The two ends of a door: a client on its socket, and an upstream that says what it was told to.

use contracts::inference::Caps;
use gate::{BodyPolicy, Budget, Door, Fetching, Gate, ModelMap, Outside, Policy, Tenant, Unlisted};
use relay::{Timeouts, Upstream};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) door: Door,
    pub(crate) upstream: Scripted,
    socket: PathBuf,
    _folder: tempfile::TempDir,
    _routes: watch::Sender<Arc<gate::routes::RouteTable>>,
}

/// An upstream that answers each request with the same words.
pub(crate) struct Scripted {
    state: Arc<Mutex<State>>,
    left: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    words: String,
    heard: Vec<String>,
}

pub(crate) struct Client {
    stream: UnixStream,
    read: String,
}

/// A chunked answer of server-sent events.
pub(crate) fn stream(frames: &[&str]) -> String {
    let mut text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    for frame in frames {
        text += &format!("{:x}\r\n{frame}\r\n", frame.len());
    }
    text + "0\r\n\r\n"
}

impl World {
    pub(crate) async fn open() -> Self {
        Self::with(true).await
    }

    /// Of a node that has neither an upstream nor routes.
    pub(crate) async fn without_upstream() -> Self {
        Self::with(false).await
    }

    async fn with(has_upstream: bool) -> Self {
        let (upstream, url) = Scripted::open().await;
        let there = Upstream::new(url.parse().unwrap(), None, Timeouts::default());
        let policy = Policy {
            upstream: has_upstream.then_some(there),
            models: ModelMap::new(
                [("a".to_owned(), "real".to_owned()), ("b".to_owned(), "other".to_owned())],
                Unlisted::Refused,
            ),
            bodies: BodyPolicy::default(),
            caps: Caps::default(),
            max_body_bytes: 64 << 10,
            body_time: Duration::from_secs(5),
        };
        let (routes, watched) = watch::channel(Arc::default());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("gate.sock");
        let door = Gate::new(policy, watched, Outside::default())
            .open(UnixListener::bind(&socket).unwrap());
        Self { door, upstream, socket, _folder: folder, _routes: routes }
    }

    pub(crate) fn admit(&self, caps: Caps, models: Option<Vec<String>>) -> bool {
        let budget = Budget::new(caps);
        let (task, job) = ("t".into(), "j".into());
        let fetching = Fetching::new(Arc::default());
        self.door.admit(Tenant { task, job, budget: Some(budget), fetching, models })
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        Client { stream, read: String::new() }
    }

    /// The whole answer, to the end of the connection.
    pub(crate) async fn post(&self, path: &str, body: &str) -> String {
        let mut client = self.connect().await;
        client.send(path, body).await;
        client.rest().await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let mut client = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        client.stream.write_all(request.as_bytes()).await.unwrap();
        client.rest().await
    }
}

impl Client {
    pub(crate) async fn send(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer none-needed\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    pub(crate) async fn until(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !self.read.contains(words) {
            let count = timeout(LIMIT, self.stream.read(&mut buffer)).await.unwrap().unwrap();
            assert_ne!(count, 0, "it ended after {:?}", self.read);
            self.read += &String::from_utf8_lossy(&buffer[..count]);
        }
    }

    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A broken connection is one of the ends that are looked for.
        let _broken = timeout(LIMIT, self.stream.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Scripted {
    async fn open() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::<Mutex<State>>::default();
        let (gone, left) = watch::channel(0);
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                calls.spawn(answer(stream, Arc::clone(&shared), gone.clone()));
            }
        });
        (Self { state, left, _serving: serving }, url)
    }

    pub(crate) fn says(&self, words: &str) {
        self.state.lock().unwrap().words = words.to_owned();
    }

    pub(crate) fn heard(&self) -> usize {
        self.state.lock().unwrap().heard.len()
    }

    pub(crate) fn last(&self) -> String {
        self.state.lock().unwrap().heard.last().cloned().unwrap()
    }

    /// Waits until somebody has closed a connection to it.
    pub(crate) async fn until_left(&self) {
        let mut left = self.left.clone();
        timeout(LIMIT, left.wait_for(|count| *count > 0)).await.unwrap().unwrap();
    }
}

async fn answer(mut stream: TcpStream, state: Arc<Mutex<State>>, gone: watch::Sender<usize>) {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
            continue;
        }
        let words = {
            let mut state = state.lock().unwrap();
            state.heard.push(text);
            state.words.clone()
        };
        heard.clear();
        if stream.write_all(words.as_bytes()).await.is_err() {
            break;
        }
    }
    gone.send_modify(|count| *count += 1);
}
