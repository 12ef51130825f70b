//! `pinfold dev-model` as its clients meet it: the program itself, over real sockets.

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, header::HeaderMap};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, ErrorKind},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

const ECHO: &str = "dev-model (not a language model) heard: hello there";
/// A bound for what comes within milliseconds on a machine with nothing else to do.
const SOON: Duration = Duration::from_secs(5);

struct Program {
    child: Child,
    line: String,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinfold"));
        command.args(["dev-model", "--pace-ms", "1"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, line }
    }

    fn tcp() -> Self {
        Self::start(&["--listen", "127.0.0.1:0"])
    }

    async fn connect(&self) -> TcpStream {
        let rest = self.line.strip_prefix("dev-model: listening on http://").unwrap();
        TcpStream::connect(rest.split(' ').next().unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], &Value::Null).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, &[], body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "dev");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn stats(&self) -> Value {
        self.get("/dev/stats").await.json()
    }

    async fn wait_for(&self, field: &str, count: u64) {
        let began = Instant::now();
        loop {
            let stats = self.stats().await;
            if stats[field] == count {
                return;
            }
            assert!(began.elapsed() < SOON, "{field} does not come to {count}: {stats}");
        }
    }

    fn stop(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _stopped_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, hyper::Error>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.as_ref().unwrap().to_vec()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.body.as_ref().unwrap()).unwrap()
    }

    /// What stands in the frames of a stream, be they lines or events.
    fn payloads(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        lines.filter(|line| line.starts_with('{')).map(str::to_owned).collect()
    }

    fn frames(&self) -> Vec<Value> {
        self.payloads().iter().map(|payload| serde_json::from_str(payload).unwrap()).collect()
    }
}

/// An endpoint that generates: how it is asked, and where the words are in its answers.
struct Endpoint {
    path: &'static str,
    question: Value,
    whole: &'static str,
    delta: &'static str,
    words_in: &'static str,
    end: &'static str,
}

fn endpoints() -> [Endpoint; 6] {
    let messages = json!([{"role": "user", "content": "hello there"}]);
    [
        Endpoint {
            path: "/api/chat",
            question: json!({"messages": messages}),
            whole: "/message/content",
            delta: "/message/content",
            words_in: "/prompt_eval_count",
            end: "}\n",
        },
        Endpoint {
            path: "/api/generate",
            question: json!({"prompt": "hello there"}),
            whole: "/response",
            delta: "/response",
            words_in: "/prompt_eval_count",
            end: "}\n",
        },
        Endpoint {
            path: "/v1/chat/completions",
            question: json!({"messages": messages}),
            whole: "/choices/0/message/content",
            delta: "/choices/0/delta/content",
            words_in: "/usage/prompt_tokens",
            end: "data: [DONE]\n\n",
        },
        Endpoint {
            path: "/v1/completions",
            question: json!({"prompt": "hello there"}),
            whole: "/choices/0/text",
            delta: "/choices/0/text",
            words_in: "/usage/prompt_tokens",
            end: "data: [DONE]\n\n",
        },
        Endpoint {
            path: "/v1/responses",
            question: json!({"input": "hello there"}),
            whole: "/output/0/content/0/text",
            delta: "/delta",
            words_in: "/usage/input_tokens",
            end: "}\n\n",
        },
        Endpoint {
            path: "/v1/messages",
            question: json!({"max_tokens": 9, "messages": messages}),
            whole: "/content/0/text",
            delta: "/delta/text",
            words_in: "/usage/input_tokens",
            end: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        },
    ]
}

impl Endpoint {
    fn ask(&self, model: &str, stream: bool) -> Value {
        let mut question = self.question.clone();
        question["model"] = json!(model);
        question["stream"] = json!(stream);
        question
    }

    fn joined(&self, answer: &Answer) -> String {
        let frames = answer.frames();
        frames.iter().filter_map(|frame| frame.pointer(self.delta)?.as_str()).collect()
    }

    fn text(&self, answer: &Answer) -> String {
        answer.json().pointer(self.whole).unwrap().as_str().unwrap().to_owned()
    }
}

/// A request as bytes, for those who go before its answer ends.
fn raw(model: &str) -> Vec<u8> {
    let body = json!({"model": model, "stream": true, "messages": []}).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: dev\r\nconnection: close\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn it_says_where_it_listens_and_what_it_is_not_and_stops_when_told() {
    let mut program = Program::tcp();
    assert!(program.line.contains("not a language model"), "{}", program.line);
    let mut call = program.connect().await;
    call.write_all(&raw("fail-silent")).await.unwrap();
    program.wait_for("open", 1).await;
    assert!(program.stop().success(), "a call in progress must not hold it");
}

#[tokio::test]
async fn it_listens_on_a_unix_socket_and_takes_it_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dev.sock");
    // What a predecessor left that was killed must not be in the way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut program = Program::start(&["--socket", path.to_str().unwrap()]);
    assert!(program.line.contains(path.to_str().unwrap()), "{}", program.line);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(&raw("dev")).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("heard: "), "{answer}");
    assert!(program.stop().success());
    assert!(!path.exists());
}

#[tokio::test]
async fn every_endpoint_echoes_with_its_counts() {
    let program = Program::tcp();
    for endpoint in endpoints() {
        let answer = program.post(endpoint.path, &endpoint.ask("dev", false)).await;
        assert_eq!(endpoint.text(&answer), ECHO, "{}", endpoint.path);
        let words = answer.json().pointer(endpoint.words_in).cloned();
        assert_eq!(words, Some(json!(2)), "{}", endpoint.path);
    }
}

#[tokio::test]
async fn every_stream_brings_the_same_words_one_by_one_and_ends_in_its_own_way() {
    let program = Program::tcp();
    for endpoint in endpoints() {
        let question = endpoint.ask("dev", true);
        let answer = program.post(endpoint.path, &question).await;
        assert_eq!(endpoint.joined(&answer), ECHO, "{}", endpoint.path);
        assert!(answer.text().ends_with(endpoint.end), "{}", endpoint.path);
        assert!(answer.frames().len() > 8, "{}", endpoint.path);
        let again = program.post(endpoint.path, &question).await;
        assert_eq!(again.text(), answer.text(), "{} differs from itself", endpoint.path);
    }
}

#[tokio::test]
async fn a_stream_of_chat_completions_has_counts_for_those_who_ask() {
    let program = Program::tcp();
    let mut question = endpoints()[2].ask("dev", true);
    let without = program.post("/v1/chat/completions", &question).await;
    assert!(!without.text().contains("usage"));
    question["stream_options"] = json!({"include_usage": true});
    let with = program.post("/v1/chat/completions", &question).await.frames();
    let (last, others) = with.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(10)));
    assert!(others.iter().all(|frame| frame["usage"].is_null()));
}

#[tokio::test]
async fn tools_are_called_by_the_word_and_their_results_are_answered_in_words() {
    let program = Program::tcp();
    let schema = json!({"type": "object", "required": ["city"],
        "properties": {"city": {"type": "string"}}});
    let named = json!([{"type": "function",
        "function": {"name": "weather", "parameters": schema}}]);
    let flat = json!([{"type": "function", "name": "weather", "parameters": schema}]);
    let anthropic = json!([{"name": "weather", "input_schema": schema}]);
    let user = json!({"role": "user", "content": "a tool, please"});
    let (object, packed) = (json!({"city": "dev"}), json!("{\"city\":\"dev\"}"));
    let cases = [
        ("/api/chat", "messages", &named, "/message/tool_calls/0/function/arguments", &object),
        (
            "/v1/chat/completions",
            "messages",
            &named,
            "/choices/0/message/tool_calls/0/function/arguments",
            &packed,
        ),
        ("/v1/responses", "input", &flat, "/output/0/arguments", &packed),
        ("/v1/messages", "messages", &anthropic, "/content/0/input", &object),
    ];
    for (path, input, tools, place, arguments) in cases {
        let question = json!({"model": "dev", "stream": false, "tools": tools, input: [user]});
        let answer = program.post(path, &question).await.json();
        assert_eq!(answer.pointer(place), Some(arguments), "{path}: {answer}");
    }
    let result = json!({"role": "tool", "tool_call_id": "call_dev", "content": "the tool: rain"});
    let question = json!({"model": "dev", "tools": named, "messages": [user, result]});
    let answer = program.post("/v1/chat/completions", &question).await.text();
    assert!(answer.contains("heard: the tool: rain"), "{answer}");
}

#[tokio::test]
async fn without_the_key_there_is_an_error_in_the_callers_dialect() {
    let program = Program::start(&["--listen", "127.0.0.1:0", "--api-key", "dev-key"]);
    let openai = "/error/code";
    let places = ["/error", "/error", openai, openai, openai, "/error/type"];
    for (place, endpoint) in places.into_iter().zip(endpoints()) {
        let question = endpoint.ask("dev", true);
        for wrong in [vec![], vec![("authorization", "Bearer no")], vec![("x-api-key", "")]] {
            let refused = program.ask(Method::POST, endpoint.path, &wrong, &question).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            assert!(refused.json().pointer(place).is_some_and(Value::is_string));
        }
        for right in [("authorization", "Bearer dev-key"), ("x-api-key", "dev-key")] {
            let answer = program.ask(Method::POST, endpoint.path, &[right], &question).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", endpoint.path);
        }
    }
    assert_eq!(program.stats().await["last_headers"]["x-api-key"], "dev-key");
}

#[tokio::test]
async fn models_are_listed_in_the_dialect_that_asks() {
    let program = Program::tcp();
    let openai = program.get("/v1/models").await.json();
    assert_eq!(openai["data"][0]["owned_by"], "dev-model-not-a-language-model");
    let version = [("anthropic-version", "2023-06-01")];
    let anthropic = program.ask(Method::GET, "/v1/models", &version, &Value::Null).await.json();
    assert_eq!(anthropic["data"][0]["type"], "model");
    assert_eq!(program.get("/api/tags").await.json()["models"][0]["name"], "dev");
    assert_eq!(program.get("/v1/models/nothing").await.status, StatusCode::NOT_FOUND);
    let unknown = endpoints()[0].ask("llama", false);
    assert_eq!(program.post("/api/chat", &unknown).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_a_gate_must_stop_is_answered_and_counted() {
    let program = Program::tcp();
    let paths = ["/api/pull", "/api/push", "/api/create", "/api/blobs/sha256:0", "/api/signout"];
    for path in paths {
        assert_eq!(program.post(path, &json!({})).await.status, StatusCode::OK);
        assert_eq!(program.stats().await["by_path"][path], 1);
    }
    program.post("/dev/reset", &json!({})).await;
    let stats = program.stats().await;
    assert_eq!((&stats["requests"], &stats["by_path"]), (&json!(0), &json!({})));
}

#[tokio::test]
async fn a_body_that_names_no_model_gets_an_error() {
    let program = Program::tcp();
    let odd = [Value::Null, json!([]), json!("text"), json!({"model": 7})];
    for endpoint in endpoints() {
        for body in &odd {
            assert_eq!(program.post(endpoint.path, body).await.status, StatusCode::BAD_REQUEST);
        }
        // Of a wrong shape but for the model: there is nothing to hear, and that is no fault.
        let empty = json!({"model": "dev", "messages": {"a": 1}, "input": 7, "tools": "x"});
        assert_eq!(program.post(endpoint.path, &empty).await.status, StatusCode::OK);
    }
    let encoded = [("content-encoding", "zstd")];
    let answer = program.ask(Method::POST, "/api/chat", &encoded, &json!({})).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn statuses_come_on_demand() {
    let program = Program::tcp();
    let models = [("fail-429", 429), ("fail-500", 500), ("fail-529", 529), ("fail-redirect", 302)];
    for (model, status) in models {
        for endpoint in endpoints() {
            let answer = program.post(endpoint.path, &endpoint.ask(model, true)).await;
            assert_eq!(answer.status, status, "{}", endpoint.path);
            let header = |name| answer.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("retry-after"), (status == 429).then_some("7"));
            assert_eq!(header("location"), (status == 302).then_some("/elsewhere"));
        }
    }
}

#[tokio::test]
async fn streams_go_wrong_on_demand() {
    let program = Program::tcp();
    for endpoint in endpoints() {
        let stream = async |model| program.post(endpoint.path, &endpoint.ask(model, true)).await;
        assert!(stream("fail-cut").await.body.is_err(), "a cut must not look like an end");
        let error = stream("fail-error-in-200").await;
        assert_eq!((error.status, error.frames().len()), (StatusCode::OK, 4));
        assert!(error.text().contains("this failure was asked for"));
        let broken = stream("fail-malformed").await.payloads();
        let bad = broken.iter().filter(|json| serde_json::from_str::<Value>(json).is_err());
        assert_eq!(bad.count(), 1, "{}", endpoint.path);
        let huge = stream("fail-huge").await.text();
        assert!(huge.lines().any(|line| line.len() > 2 << 20));
        assert_eq!(endpoint.joined(&stream("fail-bytes").await), ECHO);
        assert_eq!(endpoint.joined(&stream("long-40").await).split_whitespace().count(), 40);
        let gzip = stream("fail-gzip").await;
        assert_eq!(gzip.headers["content-encoding"], "gzip");
        assert_eq!(gzip.body.unwrap()[..2], [0x1f, 0x8b]);
    }
}

#[tokio::test]
async fn answers_in_one_piece_go_wrong_on_demand() {
    let program = Program::tcp();
    for endpoint in endpoints() {
        let whole = async |model| program.post(endpoint.path, &endpoint.ask(model, false)).await;
        assert!(whole("fail-cut").await.body.is_err());
        assert!(serde_json::from_str::<Value>(&whole("fail-malformed").await.text()).is_err());
        assert!(whole("fail-error-in-200").await.text().contains("this failure was asked for"));
        assert_eq!(endpoint.text(&whole("fail-bytes").await), ECHO);
    }
}

#[tokio::test]
async fn what_was_sent_comes_back_on_demand() {
    let program = Program::tcp();
    for endpoint in endpoints() {
        let question = |model| endpoint.ask(model, false);
        let echo =
            async |model| endpoint.text(&program.post(endpoint.path, &question(model)).await);
        let headers: Value = serde_json::from_str(&echo("echo-headers").await).unwrap();
        assert_eq!(headers["host"], "dev");
        assert_eq!(echo("echo-model:cloud").await, "echo-model:cloud");
        assert_eq!(echo("echo-body").await, question("echo-body").to_string());
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_and_nobodys_abort() {
    let program = Program::tcp();
    let mut stream = program.connect().await;
    stream.write_all(&raw("fail-reset")).await.unwrap();
    let error = stream.read(&mut [0; 64]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let stats = program.stats().await;
    assert_eq!((&stats["open"], &stats["aborted"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_head_can_go_on_for_ever() {
    let program = Program::tcp();
    let mut stream = program.connect().await;
    stream.write_all(&raw("fail-slow-headers")).await.unwrap();
    let mut head = Vec::new();
    while head.windows(8).filter(|window| window == b"\r\nx-slow").count() < 2 {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0);
    }
    assert!(!head.windows(4).any(|window| window == b"\r\n\r\n"));
}

#[tokio::test]
async fn a_call_whose_client_goes_is_aborted_before_and_after_the_first_byte() {
    let program = Program::tcp();
    let models = ["fail-silent", "fail-slow-headers", "slow-first", "fail-stall", "long-1000000"];
    for (count, model) in (1..).zip(models) {
        let mut stream = program.connect().await;
        stream.write_all(&raw(model)).await.unwrap();
        program.wait_for("open", 1).await;
        if model.starts_with("long") {
            stream.read_exact(&mut [0; 2000]).await.unwrap();
        }
        drop(stream);
        program.wait_for("aborted", count).await;
        assert_eq!(program.stats().await["open"], 0, "{model}");
    }
}
