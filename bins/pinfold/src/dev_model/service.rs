//! One request: what it asks for, and how that goes wrong if it must.

use super::{
    answer::{LABEL, Reply},
    dialect::{Dialect, REQUEST_ID, Speech},
    faults::Behaviour,
    routes::{Route, find},
    script::{BrokenOff, Script},
    stats::{Call, Stats, listed},
};
use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER, SERVER, SET_COOKIE,
    },
};
use rustix::{
    io::Errno,
    net::{SendFlags, send, sockopt::set_socket_linger},
};
use serde_json::{Value, json};
use std::{convert::Infallible, future, os::fd::OwnedFd, sync::Arc, time::Duration};

type Answer = Response<Script>;

/// More than any gate lets through, less than what hurts.
const MAX_BODY_BYTES: usize = 64 << 20;
/// Time between two lines of a head that never ends.
const HEADER_LINE_PAUSE: Duration = Duration::from_millis(100);
const RETRY_AFTER_SECONDS: u64 = 7;

/// What a provider's answers carry besides, so that a test can see which of it comes through.
const PROVIDER_HEADERS: [(HeaderName, &str); 5] = [
    (SERVER, "dev-model"),
    (SET_COOKIE, "dev-model=1"),
    (HeaderName::from_static("openai-organization"), "dev-org"),
    (HeaderName::from_static("x-request-id"), REQUEST_ID),
    (HeaderName::from_static("request-id"), REQUEST_ID),
];

pub(super) struct DevModel {
    key: Option<String>,
    pace: Duration,
    stats: Arc<Stats>,
}

/// Why a call gets no good answer.
enum Failure {
    Refused(StatusCode, String),
    BrokenOff,
}

/// What every part of one call needs to know.
struct Asking<'a> {
    dialect: Dialect,
    headers: &'a HeaderMap,
    socket: &'a OwnedFd,
    body: Bytes,
    call: &'a Call,
}

impl DevModel {
    pub(super) fn new(key: Option<String>, pace: Duration) -> Self {
        Self { key, pace, stats: Arc::default() }
    }

    pub(super) async fn answer(
        &self,
        socket: &OwnedFd,
        request: Request<Incoming>,
    ) -> Result<Answer, BrokenOff> {
        let (head, body) = request.into_parts();
        let route = find(&head.method, head.uri.path());
        match route {
            // Whoever counts must not be counted, and needs no key.
            Route::Stats => return Ok(json_answer(StatusCode::OK, &json!(self.stats.now()))),
            Route::Reset => {
                self.stats.reset();
                return Ok(json_answer(StatusCode::OK, &json!({})));
            }
            _ => {}
        }
        let dialect = Dialect::of(head.uri.path(), &head.headers);
        // Held across every wait: when the client goes, hyper drops us, and the call with us.
        let mut call = self.stats.begin(head.uri.path(), &head.headers);
        let done = async {
            self.admit(&head.headers)?;
            let body = read(&head.headers, body).await?;
            let asking = Asking { dialect, headers: &head.headers, socket, body, call: &call };
            self.work(route, asking).await
        };
        let mut answer = match done.await {
            Ok(answer) => answer,
            Err(Failure::Refused(status, message)) => refused(dialect, status, &message),
            Err(Failure::BrokenOff) => {
                call.ended();
                return Err(BrokenOff);
            }
        };
        for (name, value) in PROVIDER_HEADERS {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if head.method == Method::HEAD {
            // Nobody will ask for its body.
            call.ended();
        }
        answer.body_mut().hold(call);
        Ok(answer)
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let Some(key) = &self.key else { return Ok(()) };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let plain = headers.get("x-api-key").and_then(|value| value.to_str().ok());
        match [bearer, plain].contains(&Some(key.as_str())) {
            true => Ok(()),
            false => Err(refusal(StatusCode::UNAUTHORIZED, "a valid API key is required")),
        }
    }

    async fn work(&self, route: Route, asking: Asking<'_>) -> Result<Answer, Failure> {
        match route {
            Route::Fixed(value) => Ok(json_answer(StatusCode::OK, &value(asking.dialect))),
            Route::Model(id) => match Behaviour::of(&id) {
                Some(_) => Ok(json_answer(StatusCode::OK, &asking.dialect.model(&id))),
                None => Err(no_such_model(&id)),
            },
            Route::Dangerous => Ok(json_answer(StatusCode::OK, &json!({"status": "success"}))),
            Route::Compute(compute) => {
                let (question, model) = asking.question()?;
                let behaviour = asking.behave(&model).await?;
                let value = compute(&model, &question);
                self.whole(behaviour, asking.dialect, &value).await
            }
            Route::Speak(speech) => {
                let (question, model) = asking.question()?;
                let behaviour = asking.behave(&model).await?;
                self.speak(speech, behaviour, asking, model, &question).await
            }
            Route::Stats | Route::Reset | Route::Nothing => {
                Err(refusal(StatusCode::NOT_FOUND, "there is nothing here"))
            }
        }
    }

    async fn speak(
        &self,
        speech: &'static dyn Speech,
        behaviour: Behaviour,
        asking: Asking<'_>,
        model: String,
        question: &Value,
    ) -> Result<Answer, Failure> {
        let asked = speech.asked(question);
        let text = match behaviour {
            Behaviour::EchoHeaders => Some(json!(listed(asking.headers)).to_string()),
            Behaviour::EchoBody => Some(String::from_utf8_lossy(&asking.body).into_owned()),
            other => other.text(&model),
        };
        let stream = asked.stream;
        let reply = Reply::new(model, asked, text);
        // Nobody reads the body of a redirect as a stream.
        if !stream || behaviour == Behaviour::Redirect {
            return self.whole(behaviour, asking.dialect, &speech.whole(&reply)).await;
        }
        let error = speech.error_frame(&on_purpose());
        let steps = behaviour.stream(speech.frames(reply), self.pace, error);
        Ok(answer_of(behaviour, speech.stream_type(), Script::stream(steps)))
    }

    async fn whole(
        &self,
        behaviour: Behaviour,
        dialect: Dialect,
        value: &Value,
    ) -> Result<Answer, Failure> {
        tokio::time::sleep(behaviour.delay()).await;
        let body = match behaviour {
            Behaviour::ErrorIn200 => {
                dialect.error(StatusCode::INTERNAL_SERVER_ERROR, &on_purpose()).to_string()
            }
            _ => value.to_string(),
        };
        let (length, steps) = behaviour.whole(body.into());
        Ok(answer_of(behaviour, "application/json", Script::sized(length, steps)))
    }
}

impl Asking<'_> {
    fn question(&self) -> Result<(Value, String), Failure> {
        let bad = |why: String| refusal(StatusCode::BAD_REQUEST, why);
        let question: Value = serde_json::from_slice(&self.body)
            .map_err(|error| bad(format!("the body is not JSON: {error}")))?;
        // Older clients of Ollama say `name`.
        let model = question["model"].as_str().or_else(|| question["name"].as_str());
        let model = model.ok_or_else(|| bad("model is missing".to_owned()))?.to_owned();
        self.call.names(&model);
        Ok((question, model))
    }

    /// What the model's name asks for, done as far as it comes before an answer.
    async fn behave(&self, model: &str) -> Result<Behaviour, Failure> {
        let behaviour = Behaviour::of(model).ok_or_else(|| no_such_model(model))?;
        match behaviour {
            Behaviour::Silent => match future::pending::<Infallible>().await {},
            Behaviour::SlowHeaders => Err(self.drip_headers().await),
            Behaviour::Reset => {
                // A close that does not linger is a reset. A Unix socket knows no such thing, and
                // just closes.
                let _best_effort = set_socket_linger(self.socket, Some(Duration::ZERO));
                Err(Failure::BrokenOff)
            }
            Behaviour::Status(status) => Err(refusal(status, on_purpose())),
            other => Ok(other),
        }
    }

    /// Writes below hyper, which has nothing to say on this connection until we return.
    async fn drip_headers(&self) -> Failure {
        let mut line = "HTTP/1.1 200 OK\r\n".to_owned();
        for number in 0_u64.. {
            match send(self.socket, line.as_bytes(), SendFlags::NOSIGNAL) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => break,
            }
            tokio::time::sleep(HEADER_LINE_PAUSE).await;
            line = format!("x-slow-{number}: and more\r\n");
        }
        Failure::BrokenOff
    }
}

async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Failure> {
    let coding = headers.get(CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        let why = "encoded bodies are not understood";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let why = format!("the body is larger than {MAX_BODY_BYTES} bytes");
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, why))
        }
        Err(_) => Err(refusal(StatusCode::BAD_REQUEST, "the body could not be read")),
    }
}

fn refusal(status: StatusCode, message: impl Into<String>) -> Failure {
    Failure::Refused(status, message.into())
}

fn no_such_model(model: &str) -> Failure {
    refusal(StatusCode::NOT_FOUND, format!("model '{model}' not found"))
}

fn on_purpose() -> String {
    format!("{LABEL}: this failure was asked for")
}

fn refused(dialect: Dialect, status: StatusCode, message: &str) -> Answer {
    let mut answer = json_answer(status, &dialect.error(status, message));
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    answer
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let (length, steps) = Behaviour::Healthy.whole(value.to_string().into());
    let script = Script::sized(length, steps);
    let mut answer = answer_of(Behaviour::Healthy, "application/json", script);
    *answer.status_mut() = status;
    answer
}

fn answer_of(behaviour: Behaviour, kind: &'static str, script: Script) -> Answer {
    let mut answer = Response::new(script);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    match behaviour {
        Behaviour::Gzip => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Behaviour::Redirect => {
            headers.insert(LOCATION, HeaderValue::from_static("/elsewhere"));
            *answer.status_mut() = StatusCode::FOUND;
        }
        _ => {}
    }
    answer
}
