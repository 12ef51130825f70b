//! Running one piece of code and showing what comes of it, as it comes.

use super::{
    editor::{Answer, Editor},
    path_of,
    pictures::Pictures,
    screen::{Screen, safe},
};
use crate::{
    cli::Look,
    client::{Client, Refused, Streaming},
    patience::Patience,
    sse::{Event, Parser},
};
use anyhow::Context;
use bytes::Bytes;
use contracts::{
    CellId,
    code::{CellInput, ExecuteRequest, ExecuteResponse, KernelNews},
    problem::Problem,
};
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The code that a shell gives who was refused, and who was interrupted.
const REFUSED: u8 = 1;
const INTERRUPTED: u8 = 130;

/// Between two tries to hand over what was typed, while the sandbox has too much to read.
const UNREAD_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Cells<'a> {
    client: &'a Client,
    path: String,
    timeout: u64,
    stdout: Screen,
    stderr: Screen,
    pictures: Pictures,
}

impl<'a> Cells<'a> {
    pub(super) fn new(client: &'a Client, session: &str, look: &Look) -> Self {
        Self {
            client,
            path: path_of(session),
            timeout: look.timeout,
            stdout: Screen::stdout(look.raw),
            stderr: Screen::stderr(look.raw),
            pictures: Pictures::new(look, session),
        }
    }

    /// Runs code to its end and gives its exit code. Who has an editor is asked what the code asks.
    pub(super) async fn run(
        &mut self,
        code: &str,
        editor: &mut Option<Editor>,
    ) -> anyhow::Result<u8> {
        let cell_id = draw_id()?;
        let request = ExecuteRequest {
            code: code.to_owned(),
            rich: true,
            stream: true,
            timeout_seconds: Some(self.timeout),
            cell_id: Some(CellId::new(&*cell_id)?),
            stdin_open: editor.is_some(),
            ..ExecuteRequest::default()
        };
        let path = format!("{}/execute", self.path);
        let body = serde_json::to_vec(&request)?;
        let first = self.client.stream_to(Method::POST, &path, body.into(), &[]).await?;
        let ended = self.follow(first, &cell_id, editor).await;
        self.stdout.end()?;
        self.stderr.end()?;
        ended
    }

    async fn follow(
        &mut self,
        first: Streaming,
        cell_id: &str,
        editor: &mut Option<Editor>,
    ) -> anyhow::Result<u8> {
        let path = format!("{}/cells/{cell_id}/events", self.path);
        let (mut stream, mut last_id) = (Some(first), String::from("0"));
        let mut patience = Patience::default();
        loop {
            let before = last_id.clone();
            let answer = match stream.take() {
                Some(first) => Ok(first),
                None => {
                    let after = [("last-event-id", last_id.clone())];
                    tokio::select! {
                        answer = self.client.stream(&path, &after) => answer,
                        left = given_up() => return left,
                    }
                }
            };
            let followed = match answer {
                Ok(answer) => self.follow_once(answer, cell_id, &mut last_id, editor).await,
                Err(error) => Err(error),
            };
            let judged = tokio::select! {
                judged = patience.judge(last_id != before, followed) => judged?,
                left = given_up() => return left,
            };
            if let Some(code) = judged {
                return Ok(code);
            }
        }
    }

    async fn follow_once(
        &mut self,
        mut answer: Streaming,
        cell_id: &str,
        last_id: &mut String,
        editor: &mut Option<Editor>,
    ) -> anyhow::Result<Option<u8>> {
        let mut parser = Parser::default();
        loop {
            let frame = tokio::select! {
                frame = answer.response.frame() => frame,
                interrupt = tokio::signal::ctrl_c() => {
                    interrupt?;
                    tokio::select! {
                        told = self.interrupt() => told?,
                        left = given_up() => return left.map(Some),
                    }
                    continue;
                }
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame?.into_data() else { continue };
            for event in parser.feed(&data)? {
                // It was seen, whatever comes of showing it.
                last_id.clone_from(&event.id);
                if let Some(code) = self.take(event, cell_id, editor).await? {
                    return Ok(Some(code));
                }
            }
        }
    }

    /// Shows an event; gives the exit code of the last one.
    async fn take(
        &mut self,
        event: Event,
        cell_id: &str,
        editor: &mut Option<Editor>,
    ) -> anyhow::Result<Option<u8>> {
        let data: Value = serde_json::from_str(&event.data)?;
        match event.name.as_str() {
            "stdout" => self.stdout.show(data["text"].as_str().unwrap_or_default())?,
            "stderr" => self.stderr.show(data["text"].as_str().unwrap_or_default())?,
            "result" | "display" => self.show(&data["data"])?,
            "stdin" => self.ask(&data, cell_id, editor).await?,
            "end" => return Ok(Some(self.end(&serde_json::from_value(data)?)?)),
            "problem" => {
                let problem: Problem = serde_json::from_value(data)?;
                self.stderr.write(format!("pinfold: {}\n", Refused(problem)).as_bytes())?;
                return Ok(Some(REFUSED));
            }
            // `start`, the error that stands in stderr too, and what later nodes may tell.
            _ => {}
        }
        Ok(None)
    }

    fn show(&mut self, data: &Value) -> anyhow::Result<()> {
        let data: BTreeMap<String, Value> = serde_json::from_value(data.clone())?;
        if let Some(picture) = self.pictures.show(&data)? {
            self.stdout.write(picture.as_bytes())?;
            return Ok(());
        }
        match data.get("text/plain").and_then(Value::as_str) {
            Some(text) => {
                self.stdout.show(text)?;
                self.stdout.show("\n")?;
            }
            None => {
                let kinds: Vec<&str> = data.keys().map(String::as_str).collect();
                self.stdout.show(&format!("[{}]\n", kinds.join(", ")))?;
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &ExecuteResponse) -> anyhow::Result<u8> {
        if let Some(detail) = &end.detail {
            self.stderr.write(format!("pinfold: {}\n", safe(detail)).as_bytes())?;
        } else if end.kernel == Some(KernelNews::Fresh) {
            self.stderr
                .write(b"pinfold: this was a new interpreter: names of before are gone\n")?;
        }
        if let Some(cut) = end.truncated
            && (cut.stdout || cut.stderr || cut.results)
        {
            self.stderr.write(b"pinfold: what it showed was cut\n")?;
        }
        // What has no place in a byte is a failure all the same.
        Ok(u8::try_from(end.exit_code).unwrap_or(REFUSED))
    }

    async fn ask(
        &mut self,
        question: &Value,
        cell_id: &str,
        editor: &mut Option<Editor>,
    ) -> anyhow::Result<()> {
        let Some(asked) = editor.take() else { return Ok(()) };
        let prompt = safe(question["prompt"].as_str().unwrap_or_default());
        let hidden = question["hidden"].as_bool().unwrap_or(false);
        let (back, answer) = asked.answer(prompt, hidden).await?;
        *editor = Some(back);
        let input = match answer {
            Answer::Line(text) => CellInput { text: Some(text), eof: false },
            Answer::End => CellInput { text: None, eof: true },
            Answer::Interrupt => return self.interrupt().await,
        };
        let path = format!("{}/cells/{cell_id}/stdin", self.path);
        let body = serde_json::to_vec(&input)?;
        let body = Bytes::from(body);
        loop {
            let sent = self.client.bytes(Method::POST, &path, body.clone()).await;
            match sent.as_ref().err().and_then(|error| error.downcast_ref::<Refused>()) {
                // Of other programs' making, and nothing of it was taken.
                Some(Refused(problem)) if problem.status == 429 => {
                    tokio::time::sleep(UNREAD_PAUSE).await;
                }
                // It ended while somebody typed; that is told next.
                Some(_) => return Ok(()),
                None => return sent.map(drop),
            }
        }
    }

    async fn interrupt(&self) -> anyhow::Result<()> {
        let path = format!("{}/interrupt", self.path);
        let told: anyhow::Result<Value> = self.client.post(&path, &json!({})).await;
        match told {
            Ok(_) => Ok(()),
            // It ended by itself, or the session did.
            Err(error) if error.is::<Refused>() => Ok(()),
            Err(error) => Err(error).context("the code could not be interrupted"),
        }
    }
}

/// Somebody interrupts while nothing can be heard of the code: it is left to the node.
async fn given_up() -> anyhow::Result<u8> {
    tokio::signal::ctrl_c().await?;
    Ok(INTERRUPTED)
}

fn draw_id() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("cli-{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}
