//! Files of a session, as callers and people at a terminal handle them.

use super::kernels::{session, start_with};
use crate::{
    http::Answer,
    node::{TOKEN, binaries},
    world::World,
};
use bytes::Bytes;
use cucumber::{gherkin::Step, given, then, when};
use std::{path::PathBuf, time::Duration};
use tar::{EntryType, Header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn url(world: &World, path: &str, query: &str) -> String {
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{}/files{slash}{path}{query}", session(world))
}

async fn call(
    world: &mut World,
    (method, path, query): (&str, &str, &str),
    body: impl Into<Bytes>,
    headers: &[(&str, &str)],
) -> Answer {
    let url = url(world, path, query);
    let answer = world.node().caller.send(method, &url, body.into(), headers).await;
    world.answers.push(answer.clone());
    answer
}

#[given(expr = "a node whose workspaces have {int} bytes")]
async fn small_workspaces(world: &mut World, bytes: u64) {
    start_with(world, "MAX_WORKSPACE_BYTES", bytes.to_string()).await;
}

#[when(expr = "the caller writes {string} to {string}")]
async fn writes(world: &mut World, text: String, path: String) {
    call(world, ("PUT", &path, ""), text, &[]).await;
}

#[when(expr = "the caller writes {string} to {string}, if nothing is there")]
async fn writes_new(world: &mut World, text: String, path: String) {
    call(world, ("PUT", &path, ""), text, &[("if-none-match", "*")]).await;
}

#[when(expr = "the caller writes {int} bytes to {string}")]
async fn writes_much(world: &mut World, count: usize, path: String) {
    call(world, ("PUT", &path, ""), vec![b'x'; count], &[]).await;
}

#[when(expr = "the caller announces a file of {int} bytes")]
async fn announces(world: &mut World, count: u64) {
    // More is not sent: the answer has to come before.
    let url = url(world, "large", "");
    let head = format!(
        "PUT {url} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {count}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(world.node().caller.address).await.expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered and closed");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head[9..12].parse().expect("a status");
    let kind = "application/problem+json".to_owned();
    let body = Bytes::from(body.to_owned());
    world.answers.push(Answer { status, kind, headers: Default::default(), body });
}

#[when(expr = "the caller reads {string} with the range {string}")]
async fn reads_range(world: &mut World, path: String, range: String) {
    call(world, ("GET", &path, ""), "", &[("range", &range)]).await;
}

#[given(expr = "a node that waits {int} second for who takes nothing")]
async fn waits(world: &mut World, seconds: u64) {
    start_with(world, "WRITE_WAIT_SECONDS", seconds.to_string()).await;
}

#[when(expr = "somebody asks for {string} and takes nothing of it")]
async fn takes_nothing(world: &mut World, path: String) {
    let url = url(world, &path, "");
    let head = format!("GET {url} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let mut stream = TcpStream::connect(world.node().caller.address).await.expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("answered");
    assert_eq!(&status, b"HTTP/1.1 200");
    // The connection is held to the scenario's end.
    world.waiting.spawn(async move {
        let _held = stream;
        std::future::pending().await
    });
}

#[when(expr = "the caller makes the folder {string}")]
async fn makes_folder(world: &mut World, path: String) {
    let answer = call(world, ("PUT", &path, "?folder"), "", &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[when(expr = "the caller moves {string} to {string}")]
async fn moves(world: &mut World, from: String, to: String) {
    let answer = call(world, ("POST", &from, &format!("?move_to={to}")), "", &[]).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[when(expr = "the caller deletes {string}")]
async fn deletes(world: &mut World, path: String) {
    call(world, ("DELETE", &path, ""), "", &[]).await;
}

#[when(expr = "the caller deletes {string} with all that is in it")]
async fn deletes_all(world: &mut World, path: String) {
    let answer = call(world, ("DELETE", &path, "?recursive=true"), "", &[]).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

#[then(expr = "it is answered with {int}")]
fn answered(world: &mut World, status: u16) {
    assert_eq!(world.last().status, status, "{}", world.last().text());
}

#[then(expr = "it is answered with {int} and {string}")]
fn answered_with(world: &mut World, status: u16, text: String) {
    assert_eq!((world.last().status, world.last().text()), (status, text));
    let length = &world.last().headers["content-length"];
    assert_eq!(length.to_str().expect("digits"), world.last().body.len().to_string());
}

#[then(expr = "it is refused with {int} and the text {string}")]
fn refused_saying(world: &mut World, status: u16, text: String) {
    let answer = world.last();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.kind, "application/problem+json");
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(&text), "{detail}");
}

#[then(expr = "the file {string} holds {string}")]
async fn holds(world: &mut World, path: String, text: String) {
    let answer = call(world, ("GET", &path, ""), "", &[]).await;
    assert_eq!((answer.status, answer.text().trim_end()), (200, text.as_str()));
    let etag = answer.headers["etag"].to_str().expect("text").to_owned();
    let again = call(world, ("GET", &path, ""), "", &[("if-none-match", &etag)]).await;
    assert_eq!(again.status, 304);
    let head = call(world, ("HEAD", &path, ""), "", &[]).await;
    assert_eq!((head.status, &head.headers["etag"]), (200, &answer.headers["etag"]));
}

#[then(expr = "the folder {string} lists {string}, {int} at a time")]
async fn lists(world: &mut World, path: String, expected: String, limit: usize) {
    let (mut names, mut query) = (Vec::new(), format!("?list&limit={limit}"));
    loop {
        let answer = call(world, ("GET", &path, &query), "", &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        let entries = page["entries"].as_array().expect("entries").clone();
        assert!(entries.len() <= limit);
        names.extend(entries.iter().map(|entry| entry["path"].as_str().expect("text").to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?list&limit={limit}&after={next}");
    }
    assert_eq!(names.join(" "), expected);
}

#[then(expr = "the kind of {string} is {string}")]
async fn is_of_kind(world: &mut World, path: String, kind: String) {
    let answer = call(world, ("GET", &path, "?stat"), "", &[]).await;
    assert_eq!(answer.json()["kind"], kind, "{}", answer.text());
}

fn header(name: &str, kind: EntryType, target: &str, size: usize) -> Header {
    let mut header = Header::new_gnu();
    let old = header.as_old_mut();
    // Past the builder, which would refuse such names.
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o755);
    header.set_cksum();
    header
}

#[when(expr = "the caller unpacks a tar of {string} into {string}")]
async fn unpacks(world: &mut World, names: String, path: String) {
    let mut tar = tar::Builder::new(Vec::new());
    for name in names.split(' ') {
        let data = "#!/bin/sh\necho ran\n";
        let header = header(name, EntryType::Regular, "", data.len());
        tar.append(&header, data.as_bytes()).expect("appended");
    }
    let tar = tar.into_inner().expect("written");
    let answer = call(world, ("PUT", &path, "?tar"), tar, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["entries"], names.split(' ').count());
}

#[then(expr = "the tar of {string} holds {string} and leaves {int} out")]
async fn tar_holds(world: &mut World, path: String, expected: String, left_out: u64) {
    let answer = call(world, ("GET", &path, "?tar"), "", &[]).await;
    let mut archive = tar::Archive::new(&answer.body[..]);
    let names = archive
        .entries()
        .expect("a tar")
        .map(|entry| String::from_utf8_lossy(&entry.expect("an entry").path_bytes()).into_owned());
    assert_eq!(names.collect::<Vec<_>>().join(" "), expected);
    assert_eq!(answer.headers["pinfold-left-out"], left_out.to_string());
}

#[then("each of these tars is refused")]
async fn tars_are_refused(world: &mut World, step: &Step) {
    for row in &step.table.as_ref().expect("a table").rows[1..] {
        let [entry, kind, target, reason] = &row[..] else { panic!("four columns") };
        let kind = match kind.as_str() {
            "file" => EntryType::Regular,
            "link" => EntryType::Symlink,
            "hard" => EntryType::Link,
            "device" => EntryType::Char,
            "pipe" => EntryType::Fifo,
            "sparse" => EntryType::GNUSparse,
            other => panic!("nobody knows {other}"),
        };
        let mut tar = header(entry, kind, target, 0).as_bytes().to_vec();
        tar.extend([0; 1024]);
        call(world, ("PUT", "in", "?tar"), tar, &[]).await;
        refused_saying(world, 422, reason.clone());
    }
}

#[then(expr = "reading, writing and deleting through these is refused with {int}")]
async fn refused_through(world: &mut World, status: u16, step: &Step) {
    for row in &step.table.as_ref().expect("a table").rows {
        let path = row[0].as_str();
        // A link to a file leads on to nothing, whichever way it is looked at.
        let link = if path.starts_with("file") { "folder/x" } else { path };
        for (method, query) in [("GET", ""), ("GET", "?stat"), ("GET", "?tar"), ("DELETE", "")] {
            let answer = call(world, (method, link, query), "", &[]).await;
            assert_eq!(answer.status, status, "{method} {path}{query}: {}", answer.text());
        }
        for query in ["", "?tar", "?folder"] {
            let answer = call(world, ("PUT", link, query), vec![0; 1024], &[]).await;
            assert_eq!(answer.status, status, "PUT {path}{query}: {}", answer.text());
        }
    }
}

#[then(expr = "reading {string} is refused with {int}")]
async fn reading_refused(world: &mut World, path: String, status: u16) {
    let read = call(world, ("GET", &path, ""), "", &[]);
    let answer = tokio::time::timeout(Duration::from_secs(5), read).await.expect("at once");
    assert_eq!(answer.status, status, "{}", answer.text());
}

#[then(expr = "reading {string} {int} times shows {string} or a refusal")]
async fn reading_swapped(world: &mut World, path: String, times: usize, text: String) {
    let mut shown = 0;
    for _ in 0..times {
        let answer = call(world, ("GET", &path, ""), "", &[]).await;
        match answer.status {
            200 => {
                assert_eq!(answer.text().trim_end(), text);
                shown += 1;
            }
            status => assert!([403, 404].contains(&status), "{}", answer.text()),
        }
    }
    assert!(shown > 0 && shown < times, "{shown} of {times} were shown: nothing was swapped");
}

/// Follows a stream for as long as the scenario lives.
async fn follow(world: &mut World, query: &str, header: &str) {
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {TOKEN}\r\n{header}\r\n",
        url(world, "", query)
    );
    let mut stream = TcpStream::connect(world.node().caller.address).await.expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let told = world.told.clone();
    world.waiting.spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            told.lock().expect("no panic").push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        Answer { status: 0, kind: String::new(), headers: Default::default(), body: Bytes::new() }
    });
    is_told(world, "event: ready".to_owned()).await;
}

#[when(expr = "the caller watches {string} and all beneath it")]
async fn watches(world: &mut World, _workspace: String) {
    follow(world, "?watch=recursive", "").await;
}

#[when(expr = "the caller takes up a watch after event {int}")]
async fn watches_again(world: &mut World, event: u64) {
    follow(world, "?watch", &format!("last-event-id: {event}\r\n")).await;
}

#[then(expr = "the watch tells {string}")]
async fn is_told(world: &mut World, text: String) {
    let text = text.replace("\\n", "\n");
    World::until("it is told", || async { world.told.lock().expect("no panic").contains(&text) })
        .await;
}

#[then("these changes are told")]
async fn changes_told(world: &mut World, step: &Step) {
    for row in &step.table.as_ref().expect("a table").rows {
        is_told(world, format!("event: {}\\ndata: {{\"path\":\"{}\"", row[0], row[1])).await;
    }
}

fn here(world: &World, name: &str) -> PathBuf {
    world.folder.path().join(name)
}

#[given(expr = "a folder here with {string} and {string}")]
fn folder_here(world: &mut World, one: String, other: String) {
    for name in [one, other] {
        let path = here(world, "here").join(&name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, format!("text of {name}")).expect("written");
    }
}

#[when(expr = "a person types {string}")]
async fn types(world: &mut World, line: String) {
    let id = session(world).replace("/sessions/", "");
    let line = line.replace("SESSION", &id);
    let (folder, back) = (here(world, "here"), here(world, "back"));
    let words = line.split(' ').skip(1).map(|word| match word {
        "HERE" => folder.display().to_string(),
        "BACK" => back.display().to_string(),
        word => word.to_owned(),
    });
    let done = tokio::process::Command::new(binaries().join("pinfold"))
        .args(words)
        .env_clear()
        .env("PINFOLD_URL", format!("http://{}", world.node().caller.address))
        .env("PINFOLD_TOKEN", TOKEN)
        .output()
        .await
        .expect("pinfold runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = done.status.code().unwrap_or(-1).to_string();
    let id = world.notes.pop().expect("a session");
    world.notes = vec![status, text(&done.stdout), text(&done.stderr), id];
}

#[then(expr = "the person reads {string}")]
fn person_reads(world: &mut World, text: String) {
    assert_eq!(world.notes[..2], ["0".to_owned(), text], "{}", world.notes[2]);
}

#[then(expr = "pinfold ends with {int} and says {string}")]
fn person_is_told(world: &mut World, code: i32, text: String) {
    assert_eq!(world.notes[0], code.to_string(), "{}", world.notes[2]);
    assert!(world.notes[2].contains(&text), "{}", world.notes[2]);
}

#[then("both folders are the same")]
async fn same_folders(world: &mut World) {
    assert_eq!(world.notes[0], "0", "{}", world.notes[2]);
    let mut compare = tokio::process::Command::new("diff");
    compare.arg("-r").arg(here(world, "here")).arg(here(world, "back"));
    let compared = compare.output().await.expect("diff runs");
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}
