//! A door whose rules name a server on an address of the host's own that is not its loopback.

use contracts::egress::RuleSpec;
use gate::{
    BodyPolicy, Door, Fetching, Gate, Identity, ModelMap, Outside, Policy as GatePolicy, Tenant,
    Unlisted,
    egress::{Host, Name, Policy},
};
use std::{
    net::{IpAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, crypto::ring, pki_types::ServerName,
};

pub(crate) const WORDS: &str = "words-of-the-server";
/// Of an answer whose length is told, and one of which nobody knows how long it is. Neither ends.
pub(crate) const LONG: &str = "/long";
pub(crate) const CHUNKS: &str = "/chunks";
/// Where no answer comes.
pub(crate) const SILENT: &str = "/silent";
/// The sandbox's two sockets.
const PLAIN: &str = "gate.sock";
const TLS: &str = "tls.sock";
const PACE: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);
const HELLO: Duration = Duration::from_millis(500);

pub(crate) struct World {
    pub(crate) door: Door,
    pub(crate) outside: Server,
    folder: tempfile::TempDir,
    _routes: watch::Sender<Arc<gate::routes::RouteTable>>,
}

/// Answers what looks like HTTP, and writes down all that it hears.
pub(crate) struct Server {
    address: IpAddr,
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct State {
    connections: usize,
    heard: Vec<u8>,
    heads: Vec<String>,
    /// Clients that left an answer that does not end.
    left: usize,
}

pub(crate) struct Client(UnixStream);

pub(crate) fn rule(world: &World, host: &str) -> RuleSpec {
    RuleSpec {
        host: host.to_owned(),
        ports: Some(vec![world.outside.port]),
        methods: None,
        paths: None,
        allowed_ips: Some(vec![world.outside.address.to_string()]),
    }
}

pub(crate) fn hello(name: &str) -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut said = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut said).unwrap();
    said
}

/// The same hello with an encrypted one at the end of its extensions, before which no key is shared.
pub(crate) fn hiding(hello: &[u8]) -> Vec<u8> {
    const EXTENSION: &[u8] = b"\xfe\x0d\0\x16\0\0\x01\0\x01\x07\0\x04key!\0\x08payload!";
    let length = |at: usize| usize::from(hello[at]) << 8 | usize::from(hello[at + 1]);
    let session = 5 + 4 + 34;
    let suites = session + 1 + usize::from(hello[session]);
    let compressions = suites + 2 + length(suites);
    let list = compressions + 1 + usize::from(hello[compressions]);
    let mut said = [hello, EXTENSION].concat();
    for at in [3, 7, list] {
        let length = length(at) + EXTENSION.len();
        said[at..at + 2].copy_from_slice(&(length as u16).to_be_bytes());
    }
    said
}

impl World {
    pub(crate) async fn open() -> Self {
        let server = Server::open().await;
        let name = |text: &str| match Host::read(text.as_bytes()) {
            Ok(Host::Name(name)) => name,
            other => panic!("{other:?}"),
        };
        let named = |text: &str| -> (Name, Vec<IpAddr>) { (name(text), vec![server.address]) };
        let outside = Outside {
            hosts: ["allowed.test", "other.test", "b.test"].map(named).into(),
            hello: HELLO,
            tls_port: server.port,
            ..Outside::default()
        };
        let policy = GatePolicy {
            upstream: None,
            models: ModelMap::new([], Unlisted::Refused),
            bodies: BodyPolicy::default(),
            caps: Default::default(),
            max_body_bytes: 1024,
            body_time: LIMIT,
        };
        let (routes, watched) = watch::channel(Arc::default());
        let folder = tempfile::tempdir().unwrap();
        let listen = |name: &str| UnixListener::bind(folder.path().join(name)).unwrap();
        let door = Gate::new(policy, watched, outside).open(listen(PLAIN));
        door.open_tls(listen(TLS), &Identity::new(OffsetDateTime::now_utc()).unwrap());
        let (task, job) = ("t".into(), "j".into());
        let fetching = Fetching::new(Arc::default());
        assert!(door.admit(Tenant { task, job, budget: None, fetching, models: None }));
        let world = Self { door, outside: server, folder, _routes: routes };
        world.rules(world.policy());
        world
    }

    /// The server's own rule.
    pub(crate) fn policy(&self) -> Policy {
        Policy::of_rules("rules", &[rule(self, "allowed.test")]).unwrap()
    }

    pub(crate) fn rules(&self, policy: Policy) {
        self.door.set_egress(policy);
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(UnixStream::connect(self.folder.path().join(PLAIN)).await.unwrap())
    }

    /// As the sidecar does for TLS that comes to it.
    pub(crate) async fn connect_tls(&self) -> Client {
        Client(UnixStream::connect(self.folder.path().join(TLS)).await.unwrap())
    }

    /// Behind a CONNECT that was granted.
    pub(crate) async fn connect_to(&self, host: &str) -> Client {
        let mut client = self.connect().await;
        let target = format!("{host}:{}", self.outside.port);
        client.say(format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n").as_bytes()).await;
        let answer = client.until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        client
    }

    /// One that the server has heard of.
    pub(crate) async fn tunnel(&self) -> Client {
        let mut client = self.connect_to("allowed.test").await;
        client.say(&hello("allowed.test")).await;
        self.outside.until_heard("allowed.test").await;
        client
    }

    /// The whole answer to a request on a connection of its own.
    pub(crate) async fn get(&self, host: &str, more: &str) -> String {
        let more = if more.contains("connection:") { more } else { "connection: close\r\n" };
        let mut client = self.connect().await;
        let host = format!("{host}:{}", self.outside.port);
        let request = format!("GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\n{more}\r\n");
        client.say(request.as_bytes()).await;
        let mut answer = String::new();
        timeout(LIMIT, client.0.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }
}

impl Client {
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        // Who was closed on before it had said all has what it came for.
        let _closed = self.0.write_all(bytes).await;
    }

    pub(crate) async fn get(&mut self, world: &World, host: &str) {
        self.get_at(world, host, "/").await;
    }

    pub(crate) async fn get_at(&mut self, world: &World, host: &str, path: &str) {
        let host = format!("{host}:{}", world.outside.port);
        let request = format!("GET http://{host}{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.say(request.as_bytes()).await;
    }

    /// What is read until these words are in it.
    pub(crate) async fn until(&mut self, words: &str) -> String {
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains(words) {
            let count = timeout(LIMIT, self.0.read_buf(&mut read)).await.unwrap().unwrap();
            assert_ne!(count, 0, "it ended after {:?}", String::from_utf8_lossy(&read));
        }
        // The rest of a body, which is there with its begin.
        let mut rest = [0; 4096];
        while let Ok(count @ 1..) = self.0.try_read(&mut rest) {
            read.extend_from_slice(&rest[..count]);
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// What comes before the connection is closed.
    pub(crate) async fn until_closed(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes_until_closed().await).into_owned()
    }

    pub(crate) async fn first_byte(&mut self) -> u8 {
        timeout(LIMIT, self.0.read_u8()).await.unwrap().unwrap()
    }

    pub(crate) async fn bytes_until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // An alert may come before; a reset is an end too.
        let _reset = timeout(LIMIT, self.0.read_to_end(&mut rest)).await.expect("it is closed");
        rest
    }
}

impl Server {
    async fn open() -> Self {
        let address = own_address();
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, port, state, _serving: serving }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    pub(crate) async fn until_heard(&self, words: &str) {
        self.until(|state| String::from_utf8_lossy(&state.heard).contains(words)).await;
    }

    pub(crate) async fn until_left(&self, count: usize) {
        self.until(|state| state.left == count).await;
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let waiting = async {
            while !is_so(&self.state.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, waiting).await.unwrap();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut piece = [0; 4096];
    let mut head = Vec::new();
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        state.lock().unwrap().heard.extend_from_slice(&piece[..count]);
        head.extend_from_slice(&piece[..count]);
        if head.starts_with(b"GET ") && head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            state.lock().unwrap().heads.push(text);
            if [LONG, CHUNKS, SILENT].contains(&&*path) {
                return endless(&mut stream, &path, &state).await;
            }
            let length = WORDS.len();
            let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{WORDS}");
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    }
}

/// Begins an answer, says its words again and again if nobody knows how many there will be, and goes
/// on until its client goes.
async fn endless(stream: &mut TcpStream, path: &str, state: &Mutex<State>) {
    let begin = match path {
        LONG => format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{WORDS}"),
        CHUNKS => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
        _ => String::new(),
    };
    stream.write_all(begin.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{WORDS}\r\n", WORDS.len());
    let mut piece = [0; 64];
    loop {
        let heard = timeout(PACE, stream.read(&mut piece)).await;
        let is_gone = heard.is_ok_and(|read| matches!(read, Ok(0) | Err(_)));
        let said = if path == CHUNKS { stream.write_all(chunk.as_bytes()).await } else { Ok(()) };
        if is_gone || said.is_err() {
            state.lock().unwrap().left += 1;
            return;
        }
    }
}

/// No packet is sent: this asks the routing table which address the host itself has.
fn own_address() -> IpAddr {
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    asked.expect("the host has an address beside its loopback").ip()
}
